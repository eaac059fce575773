// Runs every test against the simulator and prints what came of it, in the form of Rust's test harness.
//
//     node run.mjs [--tenure PATH] [--only PART-OF-A-NAME]
//
// PATH is the built `tenure`; without it the one of the workspace's debug build is taken.

import { existsSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';

import { Failures, runAll } from './harness.mjs';
import { setProgram } from './sim.mjs';

const { values } = parseArgs({ options: { tenure: { type: 'string' }, only: { type: 'string' } } });
const here = import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname);
const tenure = path.resolve(values.tenure ?? path.join(here, '../../../target/debug/tenure'));
if (!existsSync(tenure)) {
  console.error(`${tenure} is not there: build it with \`cargo build\`, or name it with --tenure`);
  process.exit(2);
}
setProgram(tenure);
// What the clients themselves have to say about their limits would only hide the results.
process.env.LOGGING ??= 'default=critical';

await import('./tmi.mjs');
await import('./twurple.mjs');

const failures = await runAll(values.only ?? '');
if (failures instanceof Failures) {
  process.exit(1);
}
// Clients leave timers behind that would keep the process for minutes.
process.exit(0);
