"use strict";
(() => {
  const form = document.getElementById("filters");
  const main = document.getElementById("cards");
  const cards = [...main.querySelectorAll(".card")];
  const count = document.getElementById("count");
  const none = document.getElementById("none");
  const number = (card, name) => Number(card.dataset[name]);
  const orders = {
    index: (a, b) => number(a, "index") - number(b, "index"),
    best: (a, b) => number(b, "best") - number(a, "best") || orders.index(a, b),
    least: (a, b) => number(a, "best") - number(b, "best") || orders.index(a, b),
    findings: (a, b) => number(b, "findings") - number(a, "findings") || orders.index(a, b),
    path: (a, b) => {
      const x = a.querySelector("h2").textContent, y = b.querySelector("h2").textContent;
      return x < y ? -1 : x > y ? 1 : orders.index(a, b);
    },
  };
  let order = "index";

  function has(list, value) {
    return value === "" || list.split(" ").includes(value);
  }

  function apply() {
    const wanted = Object.fromEntries(new FormData(form));
    const words = wanted.words.toLowerCase().split(/\s+/).filter(Boolean);
    // verdict and brand have to meet in one finding, so findings decide where there is one
    const fits = (finding) =>
      (!wanted.verdict || finding.dataset.verdict === wanted.verdict) && (!wanted.brand || finding.dataset.brand === wanted.brand);
    const chosen = Boolean(wanted.verdict || wanted.brand);
    let shown = 0;
    for (const card of cards) {
      let visible = words.every((word) => card.dataset.words.includes(word));
      visible &&= has(card.dataset.verdicts, wanted.verdict) && has(card.dataset.brands, wanted.brand);
      visible &&= !wanted.copies || card.dataset.copies !== "0";
      visible &&= !wanted.failed || card.classList.contains("failed");
      const findings = [...card.querySelectorAll("[data-n]")];
      visible &&= !chosen || wanted.verdict === "nothing" || findings.some(fits);
      card.hidden = !visible;
      shown += visible;
      if (visible) for (const finding of findings) finding.classList.toggle("dim", chosen && !fits(finding));
    }
    if (wanted.sort !== order) {
      order = wanted.sort;
      main.append(...cards.sort(orders[order]));
    }
    count.textContent = shown === cards.length ? `${shown} pictures` : `${shown} of ${cards.length} pictures`;
    none.hidden = shown > 0;
  }

  function light(event, on) {
    const over = event.target.closest?.("[data-n]");
    if (!over) return;
    for (const same of over.closest(".card").querySelectorAll(`[data-n="${over.dataset.n}"]`)) same.classList.toggle("lit", on);
  }

  function step(by) {
    const visible = cards.filter((card) => !card.hidden);
    const at = visible.indexOf(document.activeElement.closest(".card"));
    const next = visible[Math.min(Math.max(at + by, 0), visible.length - 1)];
    next?.focus();
    next?.scrollIntoView({ block: "nearest" });
  }

  form.addEventListener("input", apply);
  form.addEventListener("reset", () => setTimeout(apply));
  form.addEventListener("submit", (event) => event.preventDefault());
  main.addEventListener("mouseover", (event) => light(event, true));
  main.addEventListener("mouseout", (event) => light(event, false));
  main.addEventListener("click", (event) => {
    // a source that the filters hide is shown before the browser jumps to it
    const target = event.target.closest?.('a[href^="#p"]');
    const card = target && document.getElementById(target.getAttribute("href").slice(1));
    if (card?.hidden) { form.reset(); card.hidden = false; }
    card?.focus();
  });
  listen(form, step);
  switchTheme();
  apply(); // browsers restore the form of a page that is loaded again
})();
