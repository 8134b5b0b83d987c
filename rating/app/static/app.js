"use strict";
/* Every page works without this. With it, forms are sent without loading the page, answers stream in, choices are
   kept at once, and a server that is away for a while is waited for. */

const main = document.getElementById("main");
const status = document.getElementById("status");
const offline = document.getElementById("offline");
const RETRY_MS = 2500;
let stream = null;
let waiting = null;
let acting = null;

const say = (text) => {
  status.textContent = "";
  requestAnimationFrame(() => { status.textContent = text; });
};

const draftKey = (area) => "draft:" + area.dataset.draft;

/* --- the server is away: the same act, with the same nonce, is sent until it answers --- */

function away(again) {
  if (offline.hidden) {
    const button = document.createElement("button");
    button.textContent = offline.dataset.retry;
    button.addEventListener("click", () => { clearTimeout(waiting); offline.again(); });
    offline.replaceChildren(document.createTextNode(offline.dataset.text), button);
    offline.hidden = false;
  }
  offline.again = again;
  clearTimeout(waiting);
  waiting = setTimeout(again, RETRY_MS);
}

function back() {
  if (offline.hidden) return;
  clearTimeout(waiting);
  offline.hidden = true;
  say(offline.dataset.back);
}

async function reach(url, options, then) {
  let response;
  try {
    response = await fetch(url, { credentials: "same-origin", ...options });
    if (response.status === 502 || response.status === 504) throw new TypeError("a proxy without a server");
    await then(response);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    away(() => reach(url, options, then));
    return;
  }
  back();
}

/* --- pages --- */

async function show(response) {
  if (!(response.headers.get("content-type") || "").startsWith("text/html")) {
    problem((await response.text()).slice(0, 200));
    return;
  }
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const fresh = page.getElementById("main");
  const written = main.querySelector("textarea[data-draft]");
  const focus = document.activeElement;
  main.replaceChildren(...fresh.childNodes);
  document.title = page.title;
  document.documentElement.lang = page.documentElement.lang;
  if (response.redirected) history.replaceState(null, "", response.url);
  prepare(written && focus === written ? written.value : null);
  const target = main.querySelector("[data-focus]") || main.querySelector("[data-stream]") || main.querySelector("h1");
  if (target) {
    if (!target.matches("a, button, input, textarea")) target.tabIndex = -1;
    target.focus({ preventScroll: true });
  }
  reveal();
}

function problem(text) {
  document.querySelectorAll("form[aria-busy]").forEach((form) => form.removeAttribute("aria-busy"));
  const note = document.createElement("p");
  note.className = "note";
  note.setAttribute("role", "alert");
  note.textContent = text;
  main.querySelector(".note")?.remove();
  main.prepend(note);
  note.scrollIntoView({ block: "center" });
}

function reveal() {
  const place = main.querySelector(".note, [data-stream], .compare, .composer, #latest");
  if (place) place.scrollIntoView({ block: place.matches(".compare, .note") ? "start" : "nearest" });
}

function load() {
  return reach(location.pathname, {}, show);
}

function send(form, submitter) {
  const end = "end" in form.dataset;
  if (form.getAttribute("aria-busy") === "true" || (acting && !end)) return;  // one act at a time; ending goes first
  form.setAttribute("aria-busy", "true");
  const act = acting = {};
  const body = new URLSearchParams(new FormData(form));
  if (submitter && submitter.name) body.set(submitter.name, submitter.value);
  const area = form.querySelector("textarea[data-draft]");
  reach(form.action, { method: "POST", body }, async (response) => {
    if (act !== acting) return;
    acting = null;
    if (response.ok && area) localStorage.removeItem(draftKey(area));
    if (response.ok && end) forget();
    await show(response);
  });
}

function forget(except) {
  const drafts = Object.keys(localStorage).filter((key) => key.startsWith("draft:") && key !== except);
  drafts.forEach((key) => localStorage.removeItem(key));
}

/* --- an answer while it is written --- */

function follow(place) {
  const text = place.querySelector(".text");
  const wait = place.querySelector(".wait-text");
  const writing = wait.textContent;
  say(writing);
  stream = new EventSource(place.dataset.stream);
  stream.addEventListener("reset", () => { text.textContent = ""; back(); });
  stream.addEventListener("queue", (event) => {
    const { ahead } = JSON.parse(event.data);
    wait.textContent = ahead ? place.dataset.queue.replace("{ahead}", ahead) : writing;
  });
  stream.addEventListener("piece", (event) => {
    const near = innerHeight + scrollY > document.documentElement.scrollHeight - 160;
    text.textContent += JSON.parse(event.data).text;
    if (near) place.scrollIntoView({ block: "end" });
  });
  stream.addEventListener("done", async () => {
    const answer = text.textContent;
    close();
    await load();
    const failed = main.querySelector(".failed");
    if (!failed) say(place.dataset.answered + " " + answer);
  });
  stream.addEventListener("error", () => {
    if (stream && stream.readyState === EventSource.CLOSED) { close(); load(); }
    else away(() => { close(); load(); });
  });
}

function close() {
  if (stream) stream.close();
  stream = null;
}

/* --- ratings are kept as soon as they are chosen --- */

function keep(form, radio) {
  const body = new URLSearchParams({
    csrf: form.elements.csrf.value,
    nonce: "s" + crypto.getRandomValues(new Uint32Array(4)).join("-"),
    dimension: radio.name.slice("rate-".length),
    value: radio.value,
  });
  reach(form.dataset.autosave, { method: "POST", body }, async (response) => {
    if (response.status === 204) say(form.dataset.saved);
    else if (response.status !== 409) location.reload();
  });
}

/* --- what a page brings --- */

function prepare(kept) {
  close();
  const area = main.querySelector("textarea[data-draft]");
  if (area) {
    forget(draftKey(area));
    if (!area.value) area.value = kept || localStorage.getItem(draftKey(area)) || "";
    area.addEventListener("input", () => localStorage.setItem(draftKey(area), area.value));
    area.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); area.form.requestSubmit(); }
    });
  }
  const place = main.querySelector("[data-stream]");
  if (place) follow(place);
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if ("live" in form.dataset) {
    event.preventDefault();
    send(form, event.submitter);
  } else if (form.getAttribute("aria-busy") === "true") {
    event.preventDefault();
  } else {
    form.setAttribute("aria-busy", "true");
    if (/\/(discard|submit)$/.test(form.action)) forget();
  }
});

document.addEventListener("change", (event) => {
  const form = event.target.form;
  if (form && "autosave" in form.dataset && event.target.type === "radio") keep(form, event.target);
});

addEventListener("pageshow", () => {
  document.querySelectorAll("form[aria-busy]").forEach((form) => form.removeAttribute("aria-busy"));
});
addEventListener("pagehide", close);

prepare(null);
if (main.querySelector("[data-stream], .compare .choices")) reveal();
const first = main.querySelector("textarea[data-focus], .note[data-focus]");
if (first && (location.hash || first.matches(".note"))) first.focus({ preventScroll: false });
