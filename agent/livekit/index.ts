/**
 * Output and input of a LiveKit `AgentSession` (`@livekit/agents` 1.9) by unsay.
 *
 * ```ts
 * session.output.audio = new AudioOutput(publisher);
 * session.output.transcription = new TranscriptOutput(session.output.audio);
 * session.input.audio = new AudioInput(caller);
 * await session.start({ agent });
 * ```
 *
 * @module
 */
export { AudioInput } from "./audio-input.js";
export { AudioOutput } from "./audio-output.js";
export { TranscriptOutput } from "./transcript-output.js";
