import { CommanderError, Option, Command as Program } from "commander";
import { z } from "zod";
import { InputError } from "../base/index.js";
import type { Command, CommandContext } from "./command.js";
import { commands } from "./commands/index.js";
import {
  flag,
  flagName,
  type KnownSettings,
  namedBySetting,
  readConfig,
  resolveConfig,
  type Settings,
  shown,
} from "./config.js";
import { describeFailure, onOneLine } from "./fail.js";
import { createLogger, logLevels } from "./log.js";
import { version } from "./package.js";
import { StatusLine } from "./status-line.js";

const common = {
  config: { schema: z.string().optional(), value: "<file>", help: "JSON file with an object of settings per command" },
  logLevel: {
    schema: z.enum(logLevels).default("error"),
    value: "<level>",
    help: `log to standard error: ${logLevels.join(", ")}`,
  },
  printConfig: {
    schema: flag.default(false),
    help: "print the settings after flags, environment and config file are merged, and stop",
  },
} satisfies Settings;

const { config: _, ...commonKeys } = common;

/** Keys of a config file for each command; a config file does not name another one. */
async function knownSettings(): Promise<KnownSettings> {
  const sections = commands.map(async ({ name, load }) => {
    const { settings } = await load();
    return [name, { ...settings, ...commonKeys }] as const;
  });
  return Object.fromEntries(await Promise.all(sections));
}

/** Input and output of a run of the command line. */
export interface Terminal {
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Aborts on Ctrl-C, SIGTERM or SIGHUP, and when the output has no reader any more. */
  readonly signal: AbortSignal;
  out(text: string): void;
  error(text: string): void;
  /** The line at the bottom of the terminal that `error` writes to. Default: plain lines through `error`. */
  readonly status?: StatusLine;
}

const exitCodes = `
Exit codes:
  0    done, or ended by Ctrl-C, SIGTERM, SIGHUP or a closed pipe
  1    failed: the sentence on standard error says why, with a code in parentheses
  2    wrong input: an argument, a setting or a file is not what it must be
  130  ended at once by a second Ctrl-C`;

/**
 * Runs `unsay` with the given arguments (without `node` and the script) and resolves with the exit code:
 * 0 done, 1 failed, 2 wrong input. A failure is one sentence with its code on standard error.
 */
export async function main(argv: readonly string[], terminal: Terminal): Promise<number> {
  let exitCode = 0;
  const program = new Program("unsay")
    .description("Live audio over Media over QUIC that you can take back.")
    .version(version)
    .exitOverride()
    .configureOutput({ writeOut: terminal.out, writeErr: terminal.error, outputError: () => {} })
    .showSuggestionAfterError()
    .addHelpText("after", `${exitCodes}\n\nStart with: unsay demo`);
  const asked = argv.find((word) => word !== "help" && !word.startsWith("-"));
  for (const entry of commands) {
    const subprogram = new Program(entry.name).description(entry.summary).exitOverride().allowExcessArguments(false);
    program.addCommand(subprogram.copyInheritedSettings(program));
    if (entry.name !== asked) continue;
    const definition = await entry.load();
    define(subprogram, definition, async (flags) => {
      exitCode = await runCommand(entry.name, definition, flags, terminal);
    });
  }
  try {
    await program.parseAsync(withoutHelp(argv), { from: "user" });
    return exitCode;
  } catch (error) {
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return 0;
      // Commander prints the help itself without a command; every other misuse gets our sentence.
      if (error.code !== "commander.help") {
        const options = program.commands.find((command) => command.name() === asked)?.options;
        const sentence = error.message
          .replace(/^error: /, "")
          .replace(/^unknown option '(--[a-z-]+)=.*$/s, (unknown, name: string) =>
            options?.some(({ long }) => long === name) ? `${name} takes no value` : unknown,
          )
          .replace(/\n\(Did you mean (.*)\?\)$/, "; did you mean $1?");
        terminal.error(`unsay: ${onOneLine(sentence)} (INVALID_ARGUMENT)\n`);
      }
      return 2;
    }
    const failure = describeFailure(error);
    terminal.error(`unsay: ${onOneLine(failure.message)} (${failure.code})\n`);
    return failure.exitCode;
  }
}

/** Help about a command that does not exist gets the sentence of that command instead of the list of all. */
function withoutHelp(argv: readonly string[]): readonly string[] {
  const [first, name] = argv;
  const unknown = first === "help" && name !== undefined && !commands.some((command) => command.name === name);
  return unknown ? argv.slice(1) : argv;
}

/** Gives the program of a subcommand its arguments, its options and what it does. */
function define(
  program: Program,
  definition: Command,
  action: (flags: Record<string, unknown>) => Promise<void>,
): void {
  const positional = [definition.positional ?? []].flat();
  for (const key of positional) program.argument(`[${key}]`, definition.settings[key]!.help);
  const settings: Settings = { ...definition.settings, ...common };
  for (const [key, { schema, value, help }] of Object.entries(settings)) {
    const fallback = schema.safeParse(undefined).data;
    const standard =
      fallback === undefined || fallback === false || String(fallback) === "" ? "" : ` (default: ${String(fallback)})`;
    const [long, negated] = fallback === true ? [`--no-${flagName(key).slice(2)}`, ""] : [flagName(key), value ?? ""];
    // A setting that is on by default can also be switched on, against a config file.
    if (fallback === true) program.addOption(new Option(flagName(key)).hideHelp());
    const option = new Option(`${long} ${negated}`.trim(), help + (fallback === true ? "" : standard));
    // A list that is given in several flags is all of them; of anything else the last one counts.
    if (value?.endsWith(",...>")) option.argParser(joined);
    program.addOption(option);
  }
  if (definition.examples.length > 0)
    program.addHelpText("after", `\nExamples:\n${definition.examples.map((line) => `  ${line}`).join("\n")}`);
  program.action(async (...given: unknown[]) => {
    const flags: Record<string, unknown> = {};
    for (const [key, value] of Object.entries(program.opts())) {
      if (program.getOptionValueSource(key) === "cli") flags[key] = value;
    }
    for (const [index, key] of positional.entries()) {
      if (given[index] === undefined) continue;
      if (flags[key] !== undefined)
        throw new InputError(
          "INVALID_ARGUMENT",
          `${flagName(key)} and the argument ${given[index]} are the same setting.`,
        );
      flags[key] = given[index];
    }
    await action(flags);
  });
}

function joined(value: string, before: string | undefined): string {
  return before === undefined ? value : `${before},${value}`;
}

async function runCommand(
  name: string,
  definition: Command,
  flags: Record<string, unknown>,
  terminal: Terminal,
): Promise<number> {
  const { settings } = definition;
  const given = { flags, environment: terminal.environment };
  const { config: path } = resolveConfig(name, { config: common.config }, given);
  const file = path === undefined ? undefined : await readConfig(path, await knownSettings());
  const sources = { ...given, file };
  const { logLevel, printConfig } = resolveConfig(name, commonKeys, sources);
  const config = resolveConfig(name, settings, sources);
  if (printConfig) {
    const entries = Object.entries(config).map(([key, value]) => [key, shown(settings[key], value)]);
    terminal.out(`${JSON.stringify(Object.fromEntries(entries), null, 2)}\n`);
    return 0;
  }
  const logger = createLogger(logLevel, (line) => terminal.error(line));
  // `@moq/net` logs to the console, which would end up between our lines of output.
  console.debug = (...words: unknown[]) => logger.debug(words.join(" "));
  console.info = (...words: unknown[]) => logger.info(words.join(" "));
  console.log = console.info;
  console.warn = (...words: unknown[]) => logger.info(words.join(" "));
  // `@moq/qmux` logs a peer's faults there, with a stack trace of its own.
  console.error = (...words: unknown[]) =>
    logger.warn(words.map((word) => (word instanceof Error ? word.message : word)).join(" "));
  const context: CommandContext = {
    signal: terminal.signal,
    flags: new Set(Object.keys(flags)),
    logger,
    status: terminal.status ?? new StatusLine({ write: (text) => terminal.error(text) }),
    print: (line) => terminal.out(`${line}\n`),
    notice: (sentence) => terminal.error(`unsay: ${onOneLine(sentence)}\n`),
  };
  try {
    return await definition.run(config, context);
  } catch (error) {
    throw namedBySetting(error, name, definition, sources);
  }
}
