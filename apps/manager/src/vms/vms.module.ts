/** Wires VMs as callers see them, and the clean-up of their disks. */
import { Module } from '@nestjs/common';
import { InventoryModule } from '../inventory/inventory.module.js';
import { CleanupHandler } from './cleanup.handler.js';
import { ProtectionReconciler } from './protection-reconciler.js';
import { VmsService } from './vms.service.js';

@Module({ imports: [InventoryModule], providers: [VmsService, CleanupHandler, ProtectionReconciler], exports: [VmsService] })
export class VmsModule {}
