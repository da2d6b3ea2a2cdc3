/** Input shapes as REST takes them: fields that a shape does not have are refused by name, in bodies and in queries. */
import type { z } from 'zod';

export function strict<S extends z.core.$ZodLooseShape>(schema: z.ZodObject<S>): z.ZodObject<S, z.core.$strict> {
  return schema.strict();
}
