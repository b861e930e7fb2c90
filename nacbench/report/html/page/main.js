// The page, from top to bottom.

function themeButton() {
  const button = el("button", { type: "button", class: "theme", onclick: () => {
    const next = isDark() ? "light" : "dark";
    document.documentElement.dataset.theme = next;
    button.textContent = label();
  } });
  const isDark = () => (document.documentElement.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const label = () => (isDark() ? "Light" : "Dark");
  button.textContent = label();
  return button;
}

const parts = [chart(), leaderboardPart(), gapsPart(), listeningPart(), clipsPart(), remarksPart(), originPart()].filter(Boolean);
const sizes = content.sections.map((section) => `${sectionTitle(section)}: ${section.clips.length} clips${section.units === section.clips.length ? "" : `, ${section.units} independent`}, ${section.rows.length} operating points`);

document.getElementById("top").append(
  el("div", { class: "bar" }, el("h1", {}, content.title), themeButton()),
  el("p", { class: "lead" }, sizes.join(" · ")),
  ...(content.synthetic ? [el("p", { class: "warning" }, content.synthetic)] : []),
  el("nav", { "aria-label": "Parts" }, parts.map((node) => el("a", { href: `#${node.id}` }, node.querySelector("h2").textContent))));
document.getElementById("main").append(...parts);
document.getElementById("foot").append(`Made by nacbench ${content.version}. This file needs no network.`);
