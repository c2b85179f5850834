export { demuxStreams } from "./adapter/stream-demux.js";
export { StreamError } from "./adapter/stream-error.js";
export {
  toWebTransport,
  type WebTransportAdapterOptions,
  type WebTransportWithProtocol,
} from "./adapter/web-transport.js";
export { whyUnreachable } from "./carrier-error.js";
export { type ConnectOptions, connect } from "./connect.js";
export { type ListenOptions, listen } from "./listen.js";
export {
  type FollowOptions,
  FrameTrackWriter,
  followTrack,
  type Moq,
  type MoqOptions,
  openMoq,
  type RecordFormat,
  type TrackEvent,
} from "./moq.js";
export { type ClientOptions, validateClient } from "./options.js";
export type { Backoff } from "./path/backoff.js";
export { Liveness, probe, type WatchedSession, watchSession } from "./path/liveness.js";
export { PathWatch } from "./path/path-watch.js";
export { reach } from "./path/reach.js";
export { Reconnector, type ReconnectorOptions, type ReconnectorState } from "./path/reconnector.js";
export { MOQ_LITE_05, requestUrl } from "./protocol.js";
export { type NativeOptions, prepareNative } from "./quic/native.js";
export { connectQuic, listenQuic, type QuicConnectOptions, type QuicListenOptions } from "./quic/quic.js";
export { endOf, type Refusal } from "./refusal.js";
export type {
  Backend,
  BidirectionalStream,
  CloseInfo,
  Datagrams,
  OpenOptions,
  ReceiveStream,
  SendStream,
  Session,
  SessionRequest,
  SessionServer,
} from "./session.js";
export { connectHttp2, type Http2ConnectOptions, type Http2ListenOptions, listenHttp2 } from "./tcp/http2.js";
export { connectQmux, listenQmux, type QmuxConnectOptions, type QmuxListenOptions } from "./tcp/qmux.js";
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
