// A table that is wider than the page scrolls by itself, and takes the focus, so that keys can move it.
// The theme's script puts each table into the element that scrolls, some time after this one has run.
const sizes = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    const scrolls = target.closest(".md-typeset__scrollwrap");
    if (!scrolls) continue;
    if (target !== scrolls) sizes.observe(scrolls);
    else if (scrolls.scrollWidth > scrolls.clientWidth) scrolls.tabIndex = 0;
    else scrolls.removeAttribute("tabindex");
  }
});
for (const table of document.querySelectorAll(".md-typeset table:not([class])")) sizes.observe(table);
