/**
 * The audio worklet as one classic script. The bundler puts it here, in the build and for the page alike; in the sources
 * alone there is none.
 */
export const WORKLET_SCRIPT: string = "";
