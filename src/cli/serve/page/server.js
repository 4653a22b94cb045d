// Requests to the program that serves the page. The token stands in the fragment of the page's address, which browsers
// send to nobody; every request to the API carries it in a header.
const token = location.hash.slice(1);
addEventListener("hashchange", () => location.reload());

/** A refusal of the server: one line, and the HTTP status; 0 if there was no answer. */
class Refusal extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

const NO_TOKEN = "The program has been started again, or this address lacks the token that the program gave it: "
  + "open the address that msdcam serve printed, and add the photos again.";
const NO_ANSWER = "The program does not answer. Is msdcam serve still running?";

function showNotice(text) {
  find("notice").textContent = text;
  find("notice").hidden = !text;
}

const pause = (milliseconds, signal) => new Promise((resolve, reject) => {
  const timer = setTimeout(resolve, milliseconds);
  signal?.addEventListener("abort", () => { clearTimeout(timer); reject(signal.reason); }, { once: true });
});

/** The answer to a request; a body makes it a POST. A server with too many requests is asked again, three times. */
async function ask(path, body, signal) {
  const json = body !== undefined && !(body instanceof Blob);
  const headers = { "X-Msdcam-Token": token, ...(json ? { "Content-Type": "application/json" } : {}) };
  const request = { method: body === undefined ? "GET" : "POST", headers, signal, body: json ? JSON.stringify(body) : body };
  for (let turn = 0; ; turn++) {
    let answer;
    try {
      answer = await fetch(path, request);
    } catch (error) {
      if (signal?.aborted) throw error;
      // A file that was moved or changed after it was chosen ends here as well.
      const readable = !(body instanceof Blob) || await body.slice(0, 1).arrayBuffer().then(() => true, () => false);
      throw new Refusal(readable ? NO_ANSWER : "the file cannot be read", 0);
    }
    if (answer.ok) return answer;
    if (answer.status === 503 && turn < 3) {
      await pause(150 << turn, signal);
      continue;
    }
    const said = await answer.json().catch(() => ({}));
    if (answer.status === 403) showNotice(NO_TOKEN);
    throw new Refusal(answer.status === 403 ? NO_TOKEN : said.error ?? `the program answers ${answer.status}`, answer.status);
  }
}

/** What the server calls a photo; sends the photo's file at first. */
function identify(photo) {
  photo.identified ??= (async () => {
    const path = photo.file ? "/api/photos?name=" + encodeURIComponent(photo.name) : "/api/sample";
    return (await ask(path, photo.file ?? new Blob())).json();
  })();
  return photo.identified.catch(error => { photo.identified = null; throw error; });
}

/** Asks about a photo; sends it once more where the server has forgotten it. */
async function askAbout(photo, path, about, signal) {
  const known = await identify(photo);
  signal?.throwIfAborted();
  try {
    return await ask(path, { photo: known.photo, ...about }, signal);
  } catch (error) {
    if (error.status !== 410) throw error;
    if (await photo.identified === known) photo.identified = null;
    return ask(path, { photo: (await identify(photo)).photo, ...about }, signal);
  }
}

/** Explains a photo; `progress` is called with the parts that are done and all parts. */
async function explain(photo, about, signal, progress) {
  const answer = await askAbout(photo, "/api/explain", about, signal);
  const reader = answer.body.getReader(), decoder = new TextDecoder();
  let result;
  const take = line => {
    if (!line.trim()) return;
    const said = JSON.parse(line);
    if (said.error) throw new Refusal(said.error, 500);
    if (said.progress) progress(...said.progress);
    if (said.result) result = said.result;
  };
  // A result is one long line, so pieces are joined once and not at every read.
  let pieces = [];
  for (;;) {
    const { done, value } = await reader.read().catch(error => { throw signal.aborted ? error : new Refusal(NO_ANSWER, 0); });
    if (done) break;
    const text = decoder.decode(value, { stream: true });
    if (!text.includes("\n")) { pieces.push(text); continue; }
    const lines = (pieces.join("") + text).split("\n");
    pieces = [lines.pop()];
    lines.forEach(take);
    // The result is the last line: the end of the connection is not waited for.
    if (result) break;
  }
  take(pieces.join(""));
  if (!result) throw new Refusal(NO_ANSWER, 0);
  return result;
}

/** Results by what was asked, the latest last. */
const results = new Map();
const RESULTS_KEPT = 16;

/** As `explain`, without asking for what is known already. */
async function explainOnce(photo, about, signal, progress) {
  const key = JSON.stringify([photo.number, about]);
  const result = results.get(key) ?? await explain(photo, about, signal, progress);
  results.delete(key);
  results.set(key, result);
  if (results.size > RESULTS_KEPT) results.delete(results.keys().next().value);
  return result;
}

/** Asks for a file and saves it under the name that the server gives. */
async function download(photo, about, signal) {
  const answer = await askAbout(photo, "/api/download", about, signal);
  const header = answer.headers.get("Content-Disposition") ?? "";
  const encoded = /filename\*=UTF-8''([^;]+)/i.exec(header), plain = /filename="?([^";]+)/i.exec(header);
  const url = URL.createObjectURL(await answer.blob());
  make("a", { href: url, download: encoded ? decodeURIComponent(encoded[1]) : plain?.[1] ?? about.kind }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60000);
}
