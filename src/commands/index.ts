import type { Command } from "../command.js";
import { agent } from "./agent.js";
import { bench } from "./bench.js";
import { call } from "./call.js";
import { control } from "./control.js";
import { demo } from "./demo.js";
import { page } from "./page.js";
import { publish } from "./publish.js";
import { relay } from "./relay.js";
import { token } from "./token.js";
import { watch } from "./watch.js";

/** Every subcommand of `unsay`, in the order `--help` lists them. */
export const commands: readonly Command[] = [demo, relay, publish, watch, call, agent, page, control, token, bench];
