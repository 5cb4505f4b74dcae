// Prisma (prisma.io/docs, "Prisma Migrate"): migrations are written against the shadow database and
// applied as the owner, rows as the application.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { PrismaPg } from '@prisma/adapter-pg';
import pg from 'pg';

async function tables() {
  const owner = new pg.Client({ connectionString: process.env.DATABASE_OWNER_URL });
  await owner.connect();
  const { rows } = await owner.query("SELECT tablename FROM pg_tables WHERE schemaname = 'public'");
  await owner.end();
  return rows.map((row) => row.tablename);
}

// Tables of others, document_vectors among them, would be drift from its migrations.
const before = await tables();
const external = JSON.stringify(before.map((name) => `public.${name}`));
const folder = mkdtempSync(join(import.meta.dirname, 'made-'));
mkdirSync(join(folder, 'prisma'));
// The engine in JavaScript comes with the package. It ignores `shadowDatabaseUrl`, so this empties
// the shadow database, as the binary would; and it knows no "char", a type of Postgres' catalogues.
writeFileSync(join(folder, 'prisma.config.mjs'), `
import pg from 'pg';
import { PrismaPg } from '@prisma/adapter-pg';
class Pool extends pg.Pool {
  async query(...asked) {
    const found = await super.query(...asked);
    for (const field of found.fields ?? []) {
      if ([18, 19].includes(field.dataTypeID)) field.dataTypeID = 25;
    }
    return found;
  }
}
const pool = (url) => new Pool({ connectionString: url, allowExitOnIdle: true });
// A time limit of the engine's, of up to a minute, outlives what it limits, and so the process.
const start = globalThis.setTimeout;
globalThis.setTimeout = (...asked) => {
  const timer = start(...asked);
  return (asked[1] ?? 0) < 10_000 ? timer : timer.unref();
};
class WithShadow extends PrismaPg {
  async connectToShadowDb() {
    const shadow = await new PrismaPg(pool(process.env.SHADOW_DATABASE_URL)).connect();
    await shadow.executeScript('DROP SCHEMA "public" CASCADE; CREATE SCHEMA "public"');
    return shadow;
  }
}
export default {
  schema: 'prisma/schema.prisma',
  engine: 'js',
  experimental: { adapter: true, externalTables: true },
  tables: { external: ${external} },
  adapter: async () => new WithShadow(pool(process.env.DATABASE_OWNER_URL)),
};
`);

function schema(more) {
  writeFileSync(join(folder, 'prisma', 'schema.prisma'), `
generator client {
  provider   = "prisma-client-js"
  engineType = "client"
  output     = "../client"
}
datasource db {
  provider = "postgresql"
  url      = env("DATABASE_OWNER_URL")
}
model Note {
  id    Int    @id @default(autoincrement())
  title String
  ${more}
  @@map("prismatic")
}
`);
}

function prisma(...command) {
  execFileSync('npx', ['prisma', ...command], {
    cwd: folder,
    stdio: ['ignore', 'inherit', 'inherit'],
    // Else binaries that this engine does not use are downloaded, and newer releases looked for.
    env: {
      ...process.env,
      CHECKPOINT_DISABLE: '1',
      PRISMA_QUERY_ENGINE_LIBRARY: '/bin/true',
      PRISMA_SCHEMA_ENGINE_BINARY: '/bin/true',
    },
  });
}

schema('');
prisma('migrate', 'dev', '--name', 'first');
schema('done  Boolean @default(false)');
prisma('migrate', 'dev', '--name', 'second');
prisma('migrate', 'deploy');
const after = await tables();
const lost = [...before, 'prismatic'].filter((name) => !after.includes(name));

const { PrismaClient } = (await import(pathToFileURL(join(folder, 'client', 'index.js')))).default;
const application = new PrismaClient({
  adapter: new PrismaPg({ connectionString: process.env.DATABASE_URL }),
});
await application.note.create({ data: { title: 'from the application' } });
const found = await application.note.findMany({ where: { done: false } });
await application.$disconnect();
if (lost.length || found.length !== 1 || found[0].title !== 'from the application') {
  throw new Error(JSON.stringify({ lost, found }));
}
