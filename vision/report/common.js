"use strict";

/** The keys of a page with cards: j and k step, / goes to the search, Escape leaves a field and empties the filters. */
function listen(form, step) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") {
      const field = event.target.matches("input, select, textarea");
      if (!field || event.target.form === form) form.reset(); // a name typed into a card empties no filters
      document.activeElement.blur();
      return;
    }
    if (event.target.matches("input:not([type=checkbox]), select")) return;
    if (event.key === "/") { event.preventDefault(); form.elements.words.focus(); }
    if (event.key === "j") step(1);
    if (event.key === "k") step(-1);
  });
}

/** The button between light and dark; it begins with what the system wishes. */
function switchTheme() {
  const theme = document.getElementById("theme");
  const root = document.documentElement;
  let dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const name = () => { theme.textContent = dark ? "Light" : "Dark"; theme.setAttribute("aria-pressed", String(dark)); };
  theme.addEventListener("click", () => { dark = !dark; root.dataset.theme = dark ? "dark" : "light"; name(); });
  name();
}
