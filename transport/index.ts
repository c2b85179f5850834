export { demuxStreams } from "./adapter/stream-demux.js";
export { StreamError } from "./adapter/stream-error.js";
export { toWebTransport } from "./adapter/web-transport.js";
export { whyUnreachable } from "./carrier-error.js";
export { type ConnectOptions, connect } from "./connect.js";
export { listen } from "./listen.js";
export { FrameTrackWriter, followTrack, openMoq } from "./moq.js";
export { validateClient } from "./options.js";
export type { Backoff } from "./path/backoff.js";
export { probe } from "./path/liveness.js";
export { PathWatch } from "./path/path-watch.js";
export { reach } from "./path/reach.js";
export { Reconnector } from "./path/reconnector.js";
export { requestUrl } from "./protocol.js";
export type { NativeOptions } from "./quic/native.js";
export { connectQuic, listenQuic } from "./quic/quic.js";
export { endOf, type Refusal } from "./refusal.js";
export type {
  Backend,
  BidirectionalStream,
  Datagrams,
  ReceiveStream,
  SendStream,
  Session,
  SessionRequest,
  SessionServer,
} from "./session.js";
export { authorities, MAX_AUTHORITIES_BYTES } from "./tls/authorities.js";
export { type Certificate, certificateHash, createCertificate } from "./tls/certificate.js";
export {
  Certificates,
  type GivenCertificateOptions,
  loadCertificate,
  loadOrCreateCertificate,
  type OwnCertificateOptions,
} from "./tls/certificates.js";
export { makeFolder } from "./tls/make-folder.js";
export { assertTrustedFolder, readTrusted } from "./tls/trusted-file.js";
export { userFolder } from "./tls/user-folder.js";
