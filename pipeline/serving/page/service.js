// The service: requests, its errors as text, and how an answer to an older picture is dropped.

const RETRIES = 4;
/** The key under which this tab keeps its token, until it is closed. */
const TOKEN = "reader-token";

/** An error that the service answered, or that it did not answer at all. */
export class ServiceError extends Error {
  /**
   * @param {string} code of the service's error; "unreachable" without an answer
   * @param {string} message for people
   * @param {number} wait seconds after which the same request may succeed; 0 where it will not
   */
  constructor(code, message, wait = 0) {
    super(message);
    this.code = code;
    this.wait = wait;
  }
}

/** @returns {Promise<any>} the JSON at a path */
export async function get(path) {
  const response = await asked(path, { headers: { Accept: "application/json" } });
  if (!response.ok) throw await errorOf(response);
  return response.json();
}

/**
 * Send a document, once.
 * @returns {Promise<any>} the answer
 */
export async function post(path, document) {
  let response;
  try {
    response = await asked(path, {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "application/json" },
      body: JSON.stringify(document),
    });
  } catch {
    throw new ServiceError("unreachable", "The service does not answer. Is it still running?");
  }
  if (!response.ok) throw await errorOf(response);
  return response.json();
}

/**
 * Send a picture.
 * @param {string} path with its query
 * @param {Blob} picture the file as it is
 * @param {() => boolean} wanted whether the answer is still wanted, before it is asked for again
 * @returns {Promise<any>} the answer
 */
export async function send(path, picture, wanted) {
  for (let tries = 0; ; tries += 1) {
    let response;
    try {
      response = await asked(path, {
        method: "POST",
        headers: { "Content-Type": "application/octet-stream", Accept: "application/json" },
        body: picture,
      });
    } catch {
      throw new ServiceError("unreachable", "The service does not answer. Is it still running?");
    }
    if (response.ok) return response.json();
    const error = await errorOf(response);
    if (!error.wait || tries === RETRIES || !wanted()) throw error;
    await new Promise((resolve) => setTimeout(resolve, error.wait * 1000));
    if (!wanted()) throw error;
  }
}

/**
 * Ask the service, with the token of this tab. If it needs one, or another one, the page asks for it, once.
 * @returns {Promise<Response>}
 */
async function asked(path, options) {
  const response = await fetch(path, withToken(options));
  if (response.status !== 401) return response;
  const token = window.prompt("This service needs a token:");
  if (!token) return response;
  sessionStorage.setItem(TOKEN, token.trim());
  return fetch(path, withToken(options));
}

function withToken(options) {
  const token = sessionStorage.getItem(TOKEN);
  if (!token) return options;
  return { ...options, headers: { ...options.headers, Authorization: `Bearer ${token}` } };
}

async function errorOf(response) {
  let error;
  try {
    ({ error } = await response.json());
  } catch {
    error = undefined;
  }
  const wait = response.status === 503 ? Number(response.headers.get("Retry-After")) || 1 : 0;
  if (!error) return new ServiceError("internal", `The service answered ${response.status}.`, wait);
  return new ServiceError(error.code, sentence(error.code, error.message), wait);
}

const SENTENCES = {
  overloaded: "The service is busy",
  stopping: "The service is shutting down",
  timed_out: "The service took too long",
  too_slow: "The upload was too slow",
  body_too_large: "The file is too large",
  too_many_pixels: "The picture has too many pixels",
  not_a_picture: "This is not a picture that the service reads",
  unsupported_format: "This kind of picture is not read",
  damaged: "The file is damaged",
  empty: "The file is empty",
  wrong_size: "The picture has another size",
  forbidden: "The token of this tab may not do this",
  feedback_full: "The service keeps no more corrections",
  not_packaged: "No model for this is served here",
};

function sentence(code, message) {
  return SENTENCES[code] ? `${SENTENCES[code]}: ${message}` : message;
}

/** One request at a time, then the newest that came meanwhile. Answers to older pictures are dropped. */
export class Newest {
  #waiting = null;
  #running = false;
  #number = 0;

  /**
   * @param {(wanted: () => boolean) => Promise<any>} make sends the request
   * @param {(answer: any) => void} show takes the answer, unless a newer request came
   * @param {(error: Error) => void} fail takes the error, unless a newer request came
   */
  ask(make, show, fail) {
    this.#number += 1;
    this.#waiting = { make, show, fail, number: this.#number };
    if (!this.#running) this.#run();
  }

  /** Drop what is asked and what is still to be answered. */
  forget() {
    this.#number += 1;
    this.#waiting = null;
  }

  async #run() {
    this.#running = true;
    while (this.#waiting) {
      const { make, show, fail, number } = this.#waiting;
      this.#waiting = null;
      const wanted = () => number === this.#number;
      try {
        const answer = await make(wanted);
        if (wanted()) show(answer);
      } catch (error) {
        if (wanted()) fail(error);
      }
    }
    this.#running = false;
  }
}
