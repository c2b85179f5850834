import { endOf, type Session } from "../../transport/index.js";

/** What a refused client learns: at once, or by the end of a session that is taken only to be refused. */
export async function refused(connecting: Promise<Session>): Promise<Error> {
  try {
    return endOf(await (await connecting).closed);
  } catch (error) {
    return error as Error;
  }
}
