"use strict";
(() => {
  // what pages of cases share: search, steps by key, light and dark
  const form = document.getElementById("filters");
  const cards = [...document.querySelectorAll(".card")];
  const count = document.getElementById("count");
  const none = document.getElementById("none");

  function apply() {
    const words = form.elements.words.value.toLowerCase().split(/\s+/).filter(Boolean);
    const state = form.elements.state?.value ?? "";
    let shown = 0;
    for (const card of cards) {
      card.hidden = !words.every((word) => card.dataset.words.includes(word)) || Boolean(state && (card.dataset.state || "open") !== state);
      shown += !card.hidden;
    }
    for (const section of document.querySelectorAll("section")) {
      const own = [...section.querySelectorAll(".card")];
      section.hidden = own.length > 0 && own.every((card) => card.hidden);
    }
    const all = cards.length === 1 ? "1 case" : `${cards.length} cases`;
    count.textContent = shown === cards.length ? all : `${shown} of ${all}`;
    none.hidden = shown > 0 || cards.length === 0;
  }

  function step(by) {
    const visible = cards.filter((card) => !card.hidden);
    const at = visible.indexOf(document.activeElement.closest?.(".card"));
    const next = visible[Math.min(Math.max(at + by, 0), visible.length - 1)];
    next?.focus();
    next?.scrollIntoView({ block: "nearest" });
  }

  form.addEventListener("input", apply);
  form.addEventListener("reset", () => setTimeout(apply));
  form.addEventListener("submit", (event) => event.preventDefault());
  document.addEventListener("decided", apply);
  listen(form, step);
  switchTheme();
  apply();
})();
