/**
 * Keys and tokens that authorize publishers and listeners at a relay, interchangeable with those of `moq-token`.
 *
 * @module
 */
import "../../base/polyfills.js";

export { InputError, UnsayError } from "../../base/index.js";
export {
  ALGORITHMS,
  type Algorithm,
  type Claims,
  generateKey,
  parseKeys,
  publicKeyOf,
  signToken,
  type TokenKey,
} from "../../relay/admission/token.js";
