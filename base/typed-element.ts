/** An element whose events have the types that `Events` gives to their names. */
export abstract class TypedElement<Events extends { [Name in keyof Events]: Event }> extends HTMLElement {
  /** As on every element, with the events' types. */
  override addEventListener<Name extends keyof Events & string>(
    name: Name,
    listener: (event: Events[Name]) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  override addEventListener(
    name: string,
    listener: EventListenerOrEventListenerObject,
    options?: boolean | AddEventListenerOptions,
  ): void;
  override addEventListener(name: string, listener: never, options?: boolean | AddEventListenerOptions): void {
    super.addEventListener(name, listener, options);
  }

  /** As on every element, with the events' types. */
  override removeEventListener<Name extends keyof Events & string>(
    name: Name,
    listener: (event: Events[Name]) => void,
    options?: boolean | EventListenerOptions,
  ): void;
  override removeEventListener(
    name: string,
    listener: EventListenerOrEventListenerObject,
    options?: boolean | EventListenerOptions,
  ): void;
  override removeEventListener(name: string, listener: never, options?: boolean | EventListenerOptions): void {
    super.removeEventListener(name, listener, options);
  }
}
