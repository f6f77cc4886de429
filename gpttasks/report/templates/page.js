"use strict";
// Tabs by arrow keys, the text filter and "only errors". Without scripts both tables are simply shown.
(() => {
  const tabs = [...document.querySelectorAll("[role=tab]")];
  if (!tabs.length) return;
  const filter = document.getElementById("filter");
  const onlyErrors = document.getElementById("only-errors");
  const shown = document.getElementById("shown");
  const panelOf = (tab) => document.getElementById(tab.getAttribute("aria-controls"));
  const texts = new WeakMap();

  const textOf = (row) => {
    if (!texts.has(row)) texts.set(row, row.textContent.toLowerCase());
    return texts.get(row);
  };

  const apply = () => {
    const wanted = filter.value.trim().toLowerCase();
    const errors = onlyErrors !== null && onlyErrors.checked;
    for (const tab of tabs) {
      const rows = [...panelOf(tab).querySelectorAll("tr[data-wrong]")];
      let count = 0;
      for (const row of rows) {
        row.hidden = (errors && row.dataset.wrong !== "yes") || (wanted !== "" && !textOf(row).includes(wanted));
        if (!row.hidden) count += 1;
      }
      if (tab.getAttribute("aria-selected") === "true") shown.textContent = `${count} of ${rows.length} shown`;
    }
  };

  const select = (tab) => {
    for (const other of tabs) {
      const selected = other === tab;
      other.setAttribute("aria-selected", String(selected));
      other.tabIndex = selected ? 0 : -1;
      panelOf(other).hidden = !selected;
    }
    apply();
  };

  const move = (event) => {
    const last = tabs.length - 1;
    const now = tabs.indexOf(event.currentTarget);
    const next = {
      ArrowRight: now === last ? 0 : now + 1,
      ArrowLeft: now === 0 ? last : now - 1,
      Home: 0,
      End: last,
    }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    select(tabs[next]);
    tabs[next].focus();
  };

  for (const tab of tabs) {
    tab.addEventListener("click", () => select(tab));
    tab.addEventListener("keydown", move);
  }
  filter.addEventListener("input", apply);
  if (onlyErrors !== null) onlyErrors.addEventListener("change", apply);
  document.getElementById("controls").addEventListener("submit", (event) => event.preventDefault());
  document.getElementById("controls").hidden = false;
  document.getElementById("tabs").hidden = false;
  select(tabs[0]);
})();
