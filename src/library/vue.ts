/**
 * Types of the elements for Vue 3: `import type {} from "unsay/vue"` in one file of a project.
 *
 * @module
 */
import type { HTMLAttributes } from "vue";
import type { UnsayTalkEventMap } from "../../publisher/browser/talk-element.js";
import type { UnsayWatchEventMap } from "../../watch/browser/element.js";
import type { UnsayTalkProps, UnsayWatchProps } from "./element-props.js";

/** The property that `@state` in a template becomes. */
type Handlers<Events> = {
  readonly [Name in keyof Events & string as `on${Capitalize<Name>}`]?: ((event: Events[Name]) => void) | undefined;
};
type Component<P, Events> = new () => { readonly $props: P & Handlers<Events> & Omit<HTMLAttributes, "onError"> };

declare module "vue" {
  interface GlobalComponents {
    "unsay-watch": Component<UnsayWatchProps, UnsayWatchEventMap>;
    "unsay-talk": Component<UnsayTalkProps, UnsayTalkEventMap>;
  }
}
