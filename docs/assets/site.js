// Names and keyboard access for parts that the theme adds in the browser (WCAG 2.1: 2.1.1, 4.1.2).
const phone = matchMedia("(max-width: 44.9375em)");
const breakNames = () => {
  for (const code of document.querySelectorAll("td code:not(:has(*))")) {
    const text = code.innerHTML.replace(/([._=/|])(?=\w)/g, "$1<wbr>"); // between the words of a name, not within one
    if (text !== code.innerHTML) code.innerHTML = text;
  }
};
const improve = () => {
  document.querySelector("[role=dialog].md-search")?.setAttribute("aria-label", "Search the documentation");
  document.querySelector(".md-search__options")?.setAttribute("aria-label", "Search tools");
  document.querySelectorAll(".md-code__nav").forEach((nav, n) => nav.setAttribute("aria-label", `Code block ${n + 1}`));
  if (phone.matches && !location.search) breakNames(); // a search marks whole words only
  for (const box of document.querySelectorAll(".md-typeset__scrollwrap")) {
    box.tabIndex = box.scrollWidth > box.clientWidth && !box.querySelector("a") ? 0 : -1;
  }
};
new MutationObserver(improve).observe(document.body, { childList: true, subtree: true });
addEventListener("resize", improve);
improve();
