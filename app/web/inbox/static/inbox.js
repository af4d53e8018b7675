// What the inbox page does beyond its links and forms: new messages appear by themselves, and
// keys. All of it can also be done without this script. See docs/inbox.md.

const WAIT_SECONDS = 20; // less than proxies let a request take, 30 or 60 seconds
const ANSWER_SECONDS = WAIT_SECONDS + 15; // a connection may have died while the computer slept
const PAUSE_SECONDS = 0.5; // so that a flood comes in few requests, and a glance makes none
const LONGEST_BACKOFF_SECONDS = 30;
const LONGEST_RETRY_AFTER_SECONDS = 600;
const MOST_AT_ONCE = 200;
const MOST_ROWS = 500;
const KEYS_OFF = "inbox-keys-off";
const LIST = "inbox-list";

// New messages

async function follow(list) {
  const url = new URL(list.dataset.liveUrl, location.href);
  url.searchParams.set("wait", WAIT_SECONDS);
  url.searchParams.set("limit", MOST_AT_ONCE);
  let count = 0;
  let failures = 0;
  let pause = PAUSE_SECONDS;
  showAsLive(true);
  for (;;) {
    await seconds(pause);
    await untilSeen();
    const answer = await request(url);
    if (answer.news) {
      failures = 0;
      count += answer.news.count;
      addRows(list, answer.news.rows);
      // The cursor moves on only here, so whatever happens in between, nothing is left out.
      url.searchParams.set("after", answer.news.next);
      say(count ? `${count} new ${count === 1 ? "message" : "messages"}` : "");
    } else if ([400, 401, 403, 404].includes(answer.status)) {
      showAsLive(false);
      sayWhyItEnded(answer.status);
      return;
    } else {
      failures += 1;
      // The first failure may be that of a request which ends because the page does.
      if (failures > 1) say("The server does not answer. Trying again…");
    }
    pause = Math.max(PAUSE_SECONDS, answer.retryAfter, backoff(failures));
  }
}

async function request(url) {
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(ANSWER_SECONDS * 1000) });
    const news = answer.ok ? await answer.json() : null;
    return { status: answer.status, news, retryAfter: retryAfter(answer.headers) };
  } catch {
    // No network, no answer in time, or a proxy that answered with a page of its own.
    return { status: 0, news: null, retryAfter: 0 };
  }
}

function retryAfter(headers) {
  const value = headers.get("Retry-After");
  if (value === null) return 0;
  const given = /^\d+$/.test(value) ? Number(value) : (Date.parse(value) - Date.now()) / 1000;
  return Math.min(Math.max(given || 0, 0), LONGEST_RETRY_AFTER_SECONDS);
}

function backoff(failures) {
  if (failures === 0) return 0;
  // By chance, so that many pages don't come at the same moment after a restart.
  return Math.min(2 ** failures, LONGEST_BACKOFF_SECONDS) * (0.5 + Math.random() / 2);
}

function seconds(number) {
  return new Promise((resolve) => setTimeout(resolve, number * 1000));
}

async function untilSeen() {
  while (document.hidden) {
    await new Promise((resolve) => {
      document.addEventListener("visibilitychange", resolve, { once: true });
    });
  }
}

function addRows(list, html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  const links = template.content.querySelectorAll(".row > a");
  if (links.length === 0) return;
  for (const link of links) {
    // After a power cut, some may come a second time.
    document.getElementById(link.id)?.closest(".row").remove();
    link.closest(".row").classList.add("new");
  }
  document.querySelector(".empty")?.remove();
  list.prepend(template.content);
  dropOldest(list);
}

function dropOldest(list) {
  const surplus = Array.from(list.children).slice(MOST_ROWS);
  for (const row of surplus) {
    if (!row.contains(document.activeElement)) row.remove();
  }
  const older = document.querySelector("a[rel=next]");
  if (surplus.length === 0 || older === null) return;
  // Its cursor is behind the messages that were just dropped.
  older.href = location.pathname + location.search;
  older.textContent = "Reload for older ones";
}

function showAsLive(isLive) {
  document.querySelector("[data-live-hint]").hidden = !isLive;
  const link = document.querySelector("[data-newer]");
  if (link !== null) link.closest("nav").hidden = isLive;
}

function say(...parts) {
  const status = document.querySelector("[data-live-status]");
  const said = document.createElement("p");
  said.append(...parts);
  // The same words again would be announced again.
  if (status.innerHTML !== said.innerHTML) status.replaceChildren(...said.childNodes);
}

function sayWhyItEnded(status) {
  const here = location.pathname + location.search;
  if (status === 401) {
    const next = new URLSearchParams({ next: here });
    say("Your session has ended. ", link(`/inbox/login?${next}`, "Log in again"));
  } else {
    say("New messages do not appear any more. ", link(here, "Reload the page"));
  }
}

function link(href, text) {
  const made = document.createElement("a");
  made.href = href;
  made.textContent = text;
  return made;
}

// Keys

const KEYS = {
  j: () => focusRow(1),
  k: () => focusRow(-1),
  Escape: goBack,
  "/": focusSearch,
  "?": showKeys,
};

function pressed(event) {
  const action = KEYS[event.key];
  const isModified = event.ctrlKey || event.altKey || event.metaKey;
  // Shift is how many keyboards type ? and /.
  const isShifted = event.shiftKey && !["?", "/"].includes(event.key);
  const isTyped = event.target.closest("input, select, textarea, [contenteditable]") !== null;
  if (!action || isModified || isShifted || isTyped || event.isComposing) return;
  if (document.querySelector("dialog[open]") || !keysAreOn()) return;
  if (action() !== false) event.preventDefault();
}

function focusRow(step) {
  const rows = Array.from(document.querySelectorAll(".row > a"));
  const at = rows.indexOf(document.activeElement);
  rows[at === -1 ? 0 : at + step]?.focus();
}

function goBack() {
  const back = document.querySelector("[data-back]");
  if (back === null) return false;
  location.assign(back.href);
}

function focusSearch() {
  const search = document.getElementById("search");
  if (search === null) location.assign("/inbox#search");
  else search.focus();
}

function showKeys() {
  document.getElementById("keys").showModal();
}

// WCAG 2.1.4: keys of one character can be turned off, since speech input types them by accident.
function keysAreOn() {
  return localStorage.getItem(KEYS_OFF) === null;
}

function useKeys(areOn) {
  if (areOn) localStorage.removeItem(KEYS_OFF);
  else localStorage.setItem(KEYS_OFF, "1");
}

function offerKeys(dialog) {
  const opener = document.querySelector("[data-show-keys]");
  opener.hidden = false;
  opener.addEventListener("click", showKeys);
  dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
  const choice = dialog.querySelector("[data-use-keys]");
  choice.checked = keysAreOn();
  choice.addEventListener("change", () => useKeys(choice.checked));
  document.addEventListener("keydown", pressed);
}

// The way back from a message leads to its row in the list that it was opened from

function rememberList(event) {
  const link = event.target.closest(".row > a");
  if (link === null) return;
  const url = `${location.pathname}${location.search}#${link.id}`;
  const name = document.querySelector("h1").textContent;
  sessionStorage.setItem(LIST, JSON.stringify({ url, name }));
  history.replaceState(null, "", url); // for the browser's own Back
}

function leadBack(link) {
  const list = JSON.parse(sessionStorage.getItem(LIST) ?? "null");
  if (list === null) return;
  link.href = list.url;
  link.textContent = list.name;
}

function focusWhatTheUrlNames() {
  document.getElementById(location.hash.slice(1))?.focus();
}

const dialog = document.getElementById("keys");
if (dialog !== null) offerKeys(dialog);
const back = document.querySelector("[data-back=list]");
if (back !== null) leadBack(back);
document.addEventListener("click", rememberList);
focusWhatTheUrlNames();
const list = document.querySelector("[data-live-url]");
if (list !== null) follow(list);
