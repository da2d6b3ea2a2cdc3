/** The version of the protocol between manager and agent. A manager refuses an agent that speaks another one. */

/** holdfast.agent.v1 = 1. */
export const PROTOCOL_VERSION = 1;

/** URI in the subject alternative names of the manager's client certificate: agents let in nobody else. */
export const MANAGER_IDENTITY = 'holdfast:manager';
