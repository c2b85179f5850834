export {
  type BotMessage,
  decodeBotMessage,
  MAX_MARK_NAME,
  MAX_MESSAGE_BYTES,
} from "./twilio/bot-message.js";
export { type CallIds, DTMF_DIGITS, TelephoneMessages } from "./twilio/telephone-messages.js";
