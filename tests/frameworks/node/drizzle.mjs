// Drizzle (orm.drizzle.team, "Migrations"): a migration is generated and applied as the owner, rows
// as the application.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { eq } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/node-postgres';
import { migrate } from 'drizzle-orm/node-postgres/migrator';
import { pgTable, serial, text, vector } from 'drizzle-orm/pg-core';

const folder = mkdtempSync(join(import.meta.dirname, 'made-'));
const schema = join(folder, 'schema.mjs');
writeFileSync(schema, `
import { pgTable, serial, text, vector } from 'drizzle-orm/pg-core';
export const drizzled = pgTable('drizzled', {
  id: serial('id').primaryKey(), body: text('body').notNull(), embedding: vector('embedding', { dimensions: 3 }),
});
`);
execFileSync('npx', ['drizzle-kit', 'generate', '--dialect', 'postgresql', '--schema', schema, '--out', join(folder, 'out')], { stdio: 'inherit' });

const owner = drizzle(process.env.DATABASE_OWNER_URL);
await migrate(owner, { migrationsFolder: join(folder, 'out') });
await owner.$client.end();

const drizzled = pgTable('drizzled', {
  id: serial('id').primaryKey(), body: text('body').notNull(), embedding: vector('embedding', { dimensions: 3 }),
});
const application = drizzle(process.env.DATABASE_URL);
await application.insert(drizzled).values({ body: 'from the application', embedding: [1, 2, 3] });
const found = await application.select().from(drizzled).where(eq(drizzled.body, 'from the application'));
await application.$client.end();
if (found.length !== 1 || found[0].embedding.join() !== '1,2,3') throw new Error(JSON.stringify(found));
