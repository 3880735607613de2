() => {
  // Theme: what was chosen here before, else what the system has.
  const root = document.body, key = "llink-theme";
  const kept = (() => { try { return localStorage.getItem(key); } catch { return null; } })();
  if (kept) root.classList.toggle("dark", kept === "dark");
  const listen = (id, event, act) => document.addEventListener(event, (e) => {
    if (e.target.closest && e.target.closest(id)) act(e);
  });
  listen("#llink-theme", "click", () => {
    const dark = root.classList.toggle("dark");
    try { localStorage.setItem(key, dark ? "dark" : "light"); } catch { /* not kept, then */ }
  });
  // The list of conversations on a phone.
  const page = () => document.querySelector("#llink-page");
  listen("#llink-menu", "click", () => page().toggleAttribute("data-open"));
  document.addEventListener("click", (e) => {
    if (!e.target.closest("#llink-aside, #llink-menu") || e.target.closest("#llink-conversations label, #llink-new"))
      page().removeAttribute("data-open");
  });
  // Copy: the text as it was written.
  const copy = async (text) => {
    try { await navigator.clipboard.writeText(text); return; } catch { /* no permission: the old way */ }
    const area = document.createElement("textarea");
    area.value = text; area.style.position = "fixed"; area.style.opacity = "0";
    document.body.append(area); area.select(); document.execCommand("copy"); area.remove();
  };
  listen(".llink-copy", "click", async (e) => {
    const button = e.target.closest(".llink-copy");
    await copy(button.closest(".llink-message").querySelector(".llink-text").textContent);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1200);
  });
  // Enter that ends a word of an input method sends nothing; Escape closes the list, or stops an answer.
  document.addEventListener("keydown", (e) => {
    if (e.key === "Enter" && e.isComposing) e.stopImmediatePropagation();
    if (e.key === "Escape") {
      if (page().hasAttribute("data-open")) page().removeAttribute("data-open");
      else document.querySelector("#llink-stop")?.click();
    }
  }, true);
  // Writing fields and titles run as what is written in them does.
  const names = { "#llink-theme": "Light or dark", "#llink-menu": "Conversations", "#llink-language input": "Read as",
    "#llink-task input": "Task", "#llink-other input": "Compare with", "#llink-conversations fieldset": "Conversations" };
  const writing = () => {
    for (const [id, name] of Object.entries(names)) {
      const part = document.querySelector(id);
      if (part && part.getAttribute("aria-label") !== name) { part.setAttribute("aria-label", name); part.title = name; }
    }
    const free = "#llink-input textarea, #llink-passage textarea, #llink-conversations label span";
    document.querySelectorAll(free).forEach((part) => { if (part.dir !== "auto") part.dir = "auto"; });
  };
  // Stay at the end of the conversation while an answer comes, unless somebody scrolled up; keep panels open.
  let below = true; const open = new Set();
  addEventListener("scroll", () => {
    below = innerHeight + scrollY > document.documentElement.scrollHeight - 120;
  }, { passive: true });
  const named = (panel) => {
    const message = panel.closest(".llink-message");
    return `${message?.dataset.index} ${message?.querySelector(".llink-text")?.textContent}`;
  };
  listen(".llink-panel summary", "click", (e) => {
    const panel = e.target.closest(".llink-panel");
    if (panel.open) open.delete(named(panel)); else open.add(named(panel));
  });
  // An example or a message to be edited is in the field a moment later.
  listen(".llink-example, .llink-edit", "click", () => setTimeout(() => {
    const area = document.querySelector("#llink-input textarea");
    area?.focus(); area?.setSelectionRange(area.value.length, area.value.length);
  }, 300));
  // Another tab of this browser kept something newer: take it as soon as somebody comes back to this one.
  let older = false;
  addEventListener("storage", (e) => { if (e.key === "llink-chat" && e.newValue) older = true; });
  document.addEventListener("visibilitychange", () => {
    const written = document.querySelector("#llink-input textarea")?.value;
    if (older && !document.hidden && !written && !document.querySelector(".llink-coming")) location.reload();
  });
  let asked = false, coming = false;
  new MutationObserver(() => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false; writing();
      document.querySelectorAll(".llink-panel").forEach((panel) => { panel.open = open.has(named(panel)); });
      const now = !!document.querySelector(".llink-coming");
      if (below && (now || coming)) scrollTo({ top: document.documentElement.scrollHeight });
      coming = now;
    });
  }).observe(document.body, { subtree: true, childList: true, characterData: true });
  writing();
}
