// The console's whole script: it keeps live parts of a page fresh, knows two keys, opens calendars, and helps with tables.
"use strict";

document.addEventListener("keydown", (event) => {
  // A link that looks like a button is pressed as one.
  if (event.key === " " && event.target.matches("a.button")) { event.preventDefault(); event.target.click(); return; }
  const typing = event.target.closest("input, select, textarea, [contenteditable]");
  if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const search = document.querySelector("[data-search]");
  if (search) { event.preventDefault(); search.focus(); }
});

// A button beside a time opens a calendar; what is picked there is written as a person would type it.
for (const button of document.querySelectorAll(HTMLInputElement.prototype.showPicker ? "[data-pick]" : ":not(*)")) {
  const time = document.getElementById(button.dataset.pick), calendar = document.createElement("input");
  Object.assign(calendar, { type: "datetime-local", className: "calendar", tabIndex: -1, ariaHidden: "true" });
  calendar.addEventListener("input", () => { time.value = calendar.value.replace("T", " "); });
  button.after(calendar);
  button.hidden = false;
  button.addEventListener("click", () => {
    calendar.value = /^\d{4}-\d\d-\d\d[ T]\d\d:\d\d/.test(time.value) ? time.value.slice(0, 16).replace(" ", "T") : "";
    calendar.showPicker();
  });
}

// A narrow window shows a row as a card, in which each cell stands behind its column's name. The roles keep it a table.
function label(within) {
  for (const table of within.querySelectorAll(".scroll > table:not(.is-figures):has(thead)")) {
    const names = [...table.tHead.rows[0].cells].map((cell) => cell.innerText.replace(/[↑↓]/, "").trim());
    table.classList.add("has-labels");
    table.role = "table";
    for (const group of table.querySelectorAll("thead, tbody")) group.role = "rowgroup";
    for (const row of table.rows) {
      row.role = "row";
      for (const cell of row.cells) {
        cell.role = cell.tagName === "TD" ? "cell" : cell.scope === "row" ? "rowheader" : "columnheader";
        if (row.parentNode !== table.tHead) cell.dataset.label = names[cell.cellIndex];
        cell.classList.toggle("is-none", /^[\s–]*$/.test(cell.innerText) && !cell.querySelector("input, a, button"));
      }
    }
  }
}
label(document);

// A wide window has room for what a narrow one folds.
for (const folded of document.querySelectorAll("details[data-wide]")) folded.open ||= matchMedia("(min-width: 48rem)").matches;

// A curve says the values at the pointer: its slots are so many minutes long, and wrap around midnight.
document.addEventListener("pointermove", (event) => {
  const curve = event.target.closest(".curve[data-values]");
  if (!curve) return;
  const slots = curve.dataset.values.split(","), box = curve.getBoundingClientRect();
  const slot = Math.min(slots.length - 1, Math.max(0, Math.round((event.clientX - box.left) / box.width * (slots.length - 1))));
  const [hour, minute] = curve.dataset.from.split(":").map(Number), [accepted, failed] = slots[slot].split(" ");
  const at = (hour * 60 + minute + slot * curve.dataset.minutes) % 1440;
  const time = [Math.floor(at / 60), at % 60].map((part) => String(part).padStart(2, "0")).join(":");
  const words = { at: time, accepted, failed };
  curve.parentNode.querySelector("output").value = curve.dataset.words.replace(/\{(\w+)\}/g, (_, name) => words[name]);
});

// The jobs that are ticked: how many they are, and all of them at once.
const ticks = [...document.querySelectorAll("input[form=selected]")], all = document.querySelector("[data-select-all]");
function count() {
  const ticked = ticks.filter((tick) => tick.checked).length;
  document.querySelector("[data-selected]").value = ticked;
  for (const button of document.querySelectorAll("#selected button")) button.disabled = !ticked;
  Object.assign(all, { checked: ticked === ticks.length, indeterminate: 0 < ticked && ticked < ticks.length });
}
if (ticks.length) {
  all.hidden = false;
  all.addEventListener("change", () => { for (const tick of ticks) tick.checked = all.checked; count(); });
  for (const tick of ticks) tick.addEventListener("change", count);
  // Also when a browser brings back a page with its ticks.
  addEventListener("pageshow", count);
}

// An element with an id and data-live="SECONDS" is replaced by itself out of the same page, asked for anew.
async function refresh() {
  const answer = await fetch(location.href, { headers: { "x-live": "1" }, redirect: "manual" });
  // Sent elsewhere: the session is over, since looking on does not keep it. The page is not left to pass for a fresh one.
  if (answer.type === "opaqueredirect") location.reload();
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of document.querySelectorAll("[data-live]")) {
    const next = fresh.getElementById(part.id);
    // Not under a person's hands: neither what has the focus nor what is selected.
    if (next && !part.contains(document.activeElement) && getSelection().isCollapsed) {
      part.replaceWith(next);
      label(next);
    }
  }
}

// What is still being counted asks sooner than what it will be; a command that has ended leaves nothing to refresh.
function refreshLater() {
  const paces = [...document.querySelectorAll("[data-live]")].map((part) => Number(part.dataset.live));
  if (paces.length) setTimeout(turn, 1000 * Math.min(...paces));
}
async function turn() {
  try { if (!document.hidden) await refresh(); } catch { /* away: the next turn asks again */ }
  refreshLater();
}
refreshLater();
