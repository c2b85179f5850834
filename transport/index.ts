export { type Certificate, certificateHash, createCertificate } from "./certificate.js";
export {
  Certificates,
  type GivenCertificateOptions,
  loadCertificate,
  loadOrCreateCertificate,
  type OwnCertificateOptions,
} from "./certificates.js";
export { type ConnectOptions, connect } from "./connect.js";
export { divertStreams } from "./divert.js";
export { connectHttp2, type Http2ConnectOptions, type Http2ListenOptions, listenHttp2 } from "./http2.js";
export { type ListenOptions, listen } from "./listen.js";
export { Liveness, probe, type WatchedSession, watchSession } from "./liveness.js";
export { type NativeOptions, prepareNative } from "./native.js";
export { PathWatch } from "./path-watch.js";
export { MOQ_LITE_05 } from "./protocol.js";
export { connectQmux, listenQmux, type QmuxConnectOptions, type QmuxListenOptions } from "./qmux.js";
export { connectQuic, listenQuic, type QuicConnectOptions, type QuicListenOptions } from "./quic.js";
export { reach } from "./reach.js";
export { type Backoff, Reconnector, type ReconnectorOptions, type ReconnectorState } from "./reconnector.js";
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
export { StreamError } from "./stream-error.js";
export { assertTrustedFolder, readTrusted } from "./trusted-file.js";
export { toWebTransport, type WebTransportAdapterOptions, type WebTransportWithProtocol } from "./web-transport.js";
