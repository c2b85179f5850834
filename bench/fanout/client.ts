import "../../base/polyfills.js";
import { StateError } from "../../base/index.js";
import { prioritize, serve } from "./child.js";
import { PublisherClient } from "./publisher.js";
import type { Door } from "./session.js";
import { WatcherClient } from "./watcher.js";

const watchers = new WatcherClient();
let publisher: PublisherClient | undefined;

function publishing(): PublisherClient {
  if (publisher === undefined) throw new StateError("NOT_CONNECTED", "The publisher is not connected.");
  return publisher;
}

/** Calls to a client's process: to watch many times over, or to publish. */
export type ClientMethods = typeof methods;

const methods = {
  prioritize,
  join: (options: Parameters<WatcherClient["join"]>[0]) => watchers.join(options),
  reset: (options: Parameters<WatcherClient["reset"]>[0]) => watchers.reset(options),
  seen: (_: undefined) => watchers.seen(),
  leave: (_: undefined) => watchers.leave(),
  async connect({ door, broadcasts }: { door: Door; broadcasts: number }): Promise<void> {
    publisher?.close();
    publisher = await PublisherClient.connect(door, broadcasts);
    await publisher.announced;
  },
  watched: (_: undefined) => publishing().watched,
  publish: (options: Parameters<PublisherClient["publish"]>[0]) => publishing().publish(options),
  interrupt: (_: undefined) => publishing().interrupt(),
  flood: (options: { perSecond: number; seconds: number }) => publishing().flood(options),
  disconnect(_: undefined): void {
    publisher?.close();
    publisher = undefined;
  },
};

serve(methods);
