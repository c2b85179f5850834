/**
 * Types of the elements for React 19: `import type {} from "unsay/react"` in one file of a project.
 *
 * @module
 */
import type { DetailedHTMLProps, HTMLAttributes } from "react";
import type { UnsayTalk, UnsayTalkEventMap } from "../../publisher/browser/talk-element.js";
import type { UnsayWatch, UnsayWatchEventMap } from "../../watch/browser/element.js";
import type { UnsayTalkProps, UnsayWatchProps } from "./element-props.js";

/** React listens to an element's event by `on` and its name: `onstate`. */
type Handlers<Events> = {
  readonly [Name in keyof Events & string as `on${Name}`]?: ((event: Events[Name]) => void) | undefined;
};
type Props<E extends HTMLElement, P, Events> = P & Handlers<Events> & DetailedHTMLProps<HTMLAttributes<E>, E>;

declare module "react" {
  namespace JSX {
    interface IntrinsicElements {
      "unsay-watch": Props<UnsayWatch, UnsayWatchProps, UnsayWatchEventMap>;
      "unsay-talk": Props<UnsayTalk, UnsayTalkProps, UnsayTalkEventMap>;
    }
  }
}
