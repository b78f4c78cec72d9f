"use strict";
(() => {
  // decisions: a choice holds one in data-decision, the browser keeps them for a page that is loaded again, a file takes them away
  const groups = [...document.querySelectorAll(".group")];
  const choices = [...document.querySelectorAll(".choice")];
  const download = document.getElementById("download");
  const decided = document.getElementById("decided");
  const key = `vision-suggest-${document.body.dataset.page}`;
  let saved = true;

  const nameOf = (group) => group.querySelector("input[name=brand]").value.trim();
  const groupOf = (choice) => choice.closest(".group");

  function show() {
    const counts = { accept: 0, refuse: 0 };
    for (const choice of choices) {
      const decision = choice.dataset.decision ?? "";
      if (decision) counts[decision] += 1;
      for (const button of choice.querySelectorAll("button")) button.setAttribute("aria-pressed", String(button.value === decision));
    }
    for (const group of groups) {
      const open = [...group.querySelectorAll(".choice")].filter((choice) => !choice.dataset.decision).length;
      group.dataset.state = open ? "open" : "decided";
    }
    decided.textContent = `${counts.accept} accepted, ${counts.refuse} refused, ${choices.length - counts.accept - counts.refuse} open`;
    download.disabled = !(counts.accept + counts.refuse);
  }

  function keep() {
    saved = false;
    const state = { names: groups.map(nameOf), decisions: choices.map((choice) => choice.dataset.decision ?? "") };
    try { localStorage.setItem(key, JSON.stringify(state)); } catch { /* a browser that keeps nothing for files */ }
    show();
  }

  function restore() {
    let state = null;
    try { state = JSON.parse(localStorage.getItem(key)); } catch { /* as above */ }
    if (state?.names?.length !== groups.length || state?.decisions?.length !== choices.length) return;
    groups.forEach((group, i) => { group.querySelector("input[name=brand]").value = state.names[i]; });
    choices.forEach((choice, i) => { if (state.decisions[i]) choice.dataset.decision = state.decisions[i]; });
  }

  function decide(some, decision) {
    const input = some.length && groupOf(some[0]).querySelector("input[name=brand]");
    if (!input) return;
    const undo = some.every((choice) => choice.dataset.decision === decision);
    if (decision === "accept" && !undo && !input.value.trim()) {
      input.setAttribute("aria-invalid", "true");
      input.focus();
      return;
    }
    for (const choice of some) {
      if (undo || !decision) delete choice.dataset.decision;
      else choice.dataset.decision = decision;
    }
    keep();
  }

  function rows() {
    return choices.filter((choice) => choice.dataset.decision).map((choice) => {
      const row = JSON.parse(choice.dataset.suggestion);
      row.decision = choice.dataset.decision;
      if (row.decision === "accept") row.brand = nameOf(groupOf(choice));
      return row;
    });
  }

  function save() {
    const text = JSON.stringify({ schema: document.body.dataset.schema, decisions: rows() }, null, 1) + "\n";
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    link.download = "decisions.json";
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    saved = true;
  }

  const inside = (element) => {
    const choice = element.closest?.(".choice");
    const group = element.closest?.(".group");
    return choice ? [choice] : group ? [...group.querySelectorAll(".choice")] : [];
  };

  function beside(by) {
    const group = document.activeElement.closest?.(".group");
    if (!group) return;
    const own = [...group.querySelectorAll(".choice")];
    const at = own.indexOf(document.activeElement.closest(".choice"));
    own[Math.min(Math.max(at + by, 0), own.length - 1)]?.focus();
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("button[name=decision]");
    if (button) decide(inside(button), button.value);
  });
  document.addEventListener("input", (event) => {
    if (event.target.name !== "brand") return;
    event.target.removeAttribute("aria-invalid");
    const group = event.target.closest(".group");
    // without a name nothing can be accepted
    if (!nameOf(group)) for (const choice of group.querySelectorAll('[data-decision="accept"]')) delete choice.dataset.decision;
    keep();
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select")) return;
    if (event.key === "a") { event.preventDefault(); decide(inside(document.activeElement), "accept"); }
    if (event.key === "r") decide(inside(document.activeElement), "refuse");
    if (event.key === "u") decide(inside(document.activeElement), "");
    if (event.key === "l") beside(1);
    if (event.key === "h") beside(-1);
  });
  download.addEventListener("click", save);
  addEventListener("beforeunload", (event) => { if (!saved) event.preventDefault(); });
  restore();
  show();
})();
