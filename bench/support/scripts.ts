import { Argument, Command, InvalidArgumentError } from "commander";

/** A program of the repository: `--help` prints its usage; anything wrong gets one sentence, and exit code 2. */
function program(usage: string, description: string): Command {
  return new Command(usage)
    .description(description)
    .allowExcessArguments(false)
    .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2));
}

/** A script of package.json. */
function script(name: string, description: string): Command {
  return program(`npm run ${name} --`, description);
}

/** A program in `scripts/` that takes no arguments. */
export function plainScript(file: string, description: string): Command {
  return program(`npx tsx scripts/${file}`, description);
}

function whole(text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value > 0xffff_ffff)
    throw new InvalidArgumentError("It must be a whole number from 0 to 4294967295.");
  return value;
}

function seconds(text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new InvalidArgumentError("It must be a number above 0.");
  return value;
}

function version(text: string): string {
  if (!/^\d+\.\d+\.\d+$/.test(text)) throw new InvalidArgumentError("It must look like 0.2.0.");
  return text;
}

/** `npm run bench`. */
export function benchScript(): Command {
  return script("bench", "Measures, and prints a table and one line of JSON.")
    .argument("[name]", "which bench to run")
    .option("--quick", "stay under a minute", false)
    .option("--only <condition>", "one condition of a long bench")
    .option("--seed <n>", "seed of everything drawn at random", whole, 1);
}

/** `npm run histories`. */
export function historiesScript(): Command {
  return script(
    "histories",
    "Plays seeded random histories of speech, interrupts and faults with a process for each role, and checks what every listener heard against what it must hear.",
  )
    .option("--count <n>", "how many histories", whole, 20)
    .option("--seconds <n>", "length of each", whole, 30)
    .option("--seed <n>", "seed of the first; the others follow it", whole, 1)
    .option("--parallel <n>", "how many at once", whole, 1)
    .option("--shrink <n>", "runs to spend on a shorter history of one that fails", whole, 0)
    .option("--replay <file>", "play one history again, as a failure printed it")
    .option("--keep <folder>", "keep the recordings of what breaks a promise, in a folder for each seed")
    .option("--until-broken", "stop at the first history that breaks a promise", false)
    .option("--prove", "put each known fault back into a copy of the code, and show that it is found", false);
}

/** `npm run attack`. */
export function attackScript(): Command {
  return script(
    "attack",
    "Attacks a relay in every way it knows, over QUIC and WebSocket, and checks that honest listeners hear no gap and that nothing is left behind.",
  )
    .option("--only <name>", "attacks whose name contains this")
    .option("--quick", "five attacks", false)
    .option("--seed <n>", "seed of everything drawn at random", whole, 1);
}

/** `npm run fuzz`. */
export function fuzzScript(): Command {
  return script("fuzz", "Runs decoders of outside bytes on mutated inputs.")
    .argument("[target]", "one target; all without it")
    .option("--executions <n>", "executions per target", whole, 100_000)
    .option("--seed <n>", "seed of the mutations", whole, 1)
    .option("--save", "add what is found to the corpus");
}

/** `npm run soak`, which lets a heap grow by at most that much. */
export function soakScript(mbPerMinute: number): Command {
  return script(
    "soak",
    `Runs a relay, a publisher, listeners and the page in processes of their own, and prints by how much their heaps grow: at most ${mbPerMinute} MB a minute. Ctrl-C ends it with what it measured so far.`,
  )
    .option("--seconds <number>", "how long", seconds, 3600)
    .option("--every <number>", "seconds between two samples, each after a full collection", seconds, 10)
    .option("--carrier <name>", "quic or qmux (WebSocket); default: both at once")
    .option("--no-page", "without a browser");
}

/** `npm run mutate`, for these files. */
export function mutateScript(files: readonly string[]): Command {
  return script(
    "mutate",
    "Changes every comparison, && and || of the take-back decisions, one at a time, and shows that a test notices.",
  ).addArgument(new Argument("[file]", "one file; all without it").choices(files));
}

/** `npm run release`. */
export function releaseScript(): Command {
  return script(
    "release",
    "Checks the tree, the version and the changelog, runs what CI runs, packs the tarball and creates a tag.",
  ).argument("<version>", "the version to release", version);
}
