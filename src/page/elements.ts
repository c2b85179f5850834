/** Both elements in one script, for pages without a bundler: two scripts would carry the library twice. */
import "../../watch/browser/element.js";
import "../../publisher/browser/talk-element.js";
