// What the page asks `make label`; paths are relative, since the first part of the page's own is its token.

export class RequestError extends Error {
  /**
   * @param {string} message for people
   * @param {boolean} stale whether the page shows another picture than the one that is asked
   */
  constructor(message, stale = false) {
    super(message);
    this.stale = stale;
  }
}

/** @returns {Promise<any>} the state */
export function state() {
  return asked("state");
}

/** Send an answer or a command. @returns {Promise<any>} the state that follows */
export function send(path, document = {}) {
  return asked(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(document),
  });
}

async function asked(path, options = {}) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new RequestError("`make label` has ended. Every answer was kept; start it again to go on.");
  }
  const document = await response.json().catch(() => ({}));
  if (!response.ok) throw new RequestError(document.error ?? `The answer was ${response.status}.`, response.status === 409);
  return document;
}
