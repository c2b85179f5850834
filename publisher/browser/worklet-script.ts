/**
 * The audio worklet as one classic script. The bundler inserts it, for the build and the page; in plain sources it is
 * empty.
 */
export const WORKLET_SCRIPT: string = "";
