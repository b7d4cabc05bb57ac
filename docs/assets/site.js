// Wide tables scroll, so the keyboard has to reach them; the theme puts each into a frame when the page is shown.
addEventListener("load", () => {
  for (const frame of document.querySelectorAll(".md-typeset__scrollwrap")) frame.tabIndex = 0
})
