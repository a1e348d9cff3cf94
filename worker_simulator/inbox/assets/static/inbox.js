"use strict";
// Keeps the page up to date, sends its forms without leaving it, and moves by keyboard. The page can be read without it.

const body = document.body;
const notice = document.querySelector("[data-notice]");
const state = document.querySelector("[data-live-state]");
const tags = new Map();

function showNotice(text, isError) {
  const note = document.createElement("p");
  note.className = isError ? "note is-error" : "note is-done";
  note.textContent = text;
  notice.replaceChildren(note);
  clearTimeout(showNotice.timer);
  showNotice.timer = setTimeout(() => notice.replaceChildren(), isError ? 15000 : 4000);
}

// -- parts of the page ------------------------------------------------------------------------------------------------

// Puts new children in place of old ones; those with the same id and version stay, and with them what was typed.
function morph(old, fresh) {
  const byId = new Map([...old.children].filter((child) => child.id).map((child) => [child.id, child]));
  const next = [...fresh.children].map((child) => {
    const before = child.id && byId.get(child.id);
    if (!before || before.tagName !== child.tagName) return child;
    if ("v" in child.dataset) return before.dataset.v === child.dataset.v ? before : child;
    morph(before, child);
    for (const { name, value } of child.attributes) before.setAttribute(name, value);
    return before;
  });
  old.replaceChildren(...next);
}

// On a small screen the whole page scrolls, and not the conversation in it.
function scrolling(entries) {
  return entries.scrollHeight > entries.clientHeight + 1 ? entries : document.scrollingElement;
}

function isAtEnd(entries) {
  const box = scrolling(entries);
  return box.scrollHeight - box.scrollTop - box.clientHeight < 80;
}

async function refresh(part) {
  const reply = await fetch(part.dataset.part, { headers: { "If-None-Match": tags.get(part) || "" }, cache: "no-store" });
  if (reply.status === 304) return;
  if (!reply.ok) throw new Error(String(reply.status));
  tags.set(part, reply.headers.get("ETag"));
  const fresh = new DOMParser().parseFromString(await reply.text(), "text/html").body;
  const entries = part.querySelector("[data-newest]");
  const follow = entries && isAtEnd(entries);
  const focused = document.activeElement;
  const holder = focused?.closest("[id]")?.id;
  morph(part, fresh);
  if (focused && !focused.isConnected && holder) focusIn(document.getElementById(holder));
  if (follow) toEnd();
}

function focusIn(element) {
  const inner = element?.matches("input, textarea, select") ? element : element?.querySelector("a, button, input, select");
  inner?.focus();
}

function toEnd() {
  const entries = document.querySelector("[data-newest]");
  if (!entries?.offsetParent) return; // none, or out of sight on a small screen
  const box = scrolling(entries);
  box.scrollTop = box.scrollHeight;
}

let busy = false;
let again = false;

async function refreshAll() {
  if (busy) {
    again = true;
    return;
  }
  busy = true;
  const slow = setTimeout(() => label(body.dataset.loading, "busy"), 400);
  try {
    await Promise.all([...document.querySelectorAll("[data-part]")].map(refresh));
  } catch {
    showNotice(body.dataset.away, true);
  }
  clearTimeout(slow);
  show(isOpen);
  setTimeout(() => {
    busy = false;
    if (again) {
      again = false;
      refreshAll();
    }
  }, 250);
}

function label(text, tone) {
  state.hidden = false;
  state.textContent = text;
  state.className = `badge live tone-${tone}`;
}

function show(isLive) {
  isOpen = isLive;
  label(isLive ? body.dataset.live : body.dataset.away, isLive ? "good" : "bad");
}

// A page in the background gives its connection back: a browser has only a few to one host.
// It receives the changes after the one that it shows. After an error there may be another simulator with the same number.
let events = null;
let isOpen = false;
let change = body.dataset.change;
let isUnsure = false;

function listen() {
  if (document.hidden) {
    events?.close();
    events = null;
  } else if (!events) {
    events = new EventSource(`/_inbox/events?after=${change}`);
    events.addEventListener("open", () => {
      show(true);
      if (isUnsure) refreshAll();
      isUnsure = false;
    });
    events.addEventListener("error", () => {
      show(false);
      isUnsure = true;
    });
    events.addEventListener("change", (event) => {
      change = event.data;
      refreshAll();
    });
  }
}

listen();
document.addEventListener("visibilitychange", listen);
addEventListener("pagehide", () => events?.close());

// -- forms ------------------------------------------------------------------------------------------------------------

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (form.method !== "post") return;
  event.preventDefault();
  const button = event.submitter;
  const data = new URLSearchParams(new FormData(form, button));
  form.setAttribute("aria-busy", "true");
  try {
    const address = button?.getAttribute("formaction") || form.getAttribute("action");
    const reply = await fetch(address, { method: "POST", body: data, headers: { Accept: "application/json" } });
    const outcome = await reply.json();
    showNotice(outcome.notice, !outcome.ok);
    if (outcome.ok && "empties" in form.dataset && !button?.hasAttribute("formaction")) form.elements.text.value = "";
  } catch {
    showNotice(body.dataset.failed, true);
  }
  form.removeAttribute("aria-busy");
  refreshAll();
});

// -- keyboard ---------------------------------------------------------------------------------------------------------

function go(step) {
  const links = [...document.querySelectorAll(".people a")];
  const now = links.findIndex((link) => link.hasAttribute("aria-current"));
  const next = links[now < 0 ? 0 : now + step];
  if (next) next.click();
}

document.addEventListener("keydown", (event) => {
  const isTyping = event.target.closest("input, textarea, select");
  if (event.key === "Escape" && isTyping) event.target.blur();
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/") {
    event.preventDefault();
    document.querySelector("[data-search]").focus();
  } else if (event.key === "j") {
    go(1);
  } else if (event.key === "k") {
    go(-1);
  } else if (event.key === "r") {
    event.preventDefault();
    document.getElementById("text")?.focus();
  }
});

toEnd();
document.querySelector(".people [aria-current]")?.scrollIntoView({ block: "nearest" });
