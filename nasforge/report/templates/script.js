(() => {
  "use strict";
  const tip = document.querySelector(".tip");
  const place = (x, y) => {
    const box = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(6, Math.min(x + 14, innerWidth - box.width - 6))}px`;
    tip.style.top = `${y - box.height - 14 < 6 ? y + 18 : y - box.height - 14}px`;
  };
  const hide = () => {
    tip.hidden = true;
    document.querySelectorAll(".cross").forEach((line) => line.remove());
  };
  const text = (x, y, words) => {
    tip.textContent = words;
    tip.hidden = false;
    place(x, y);
  };
  const tell = (dot) => {
    const box = dot.getBoundingClientRect();
    text(box.right, box.top, dot.dataset.tip);
  };
  const round = (value) => {
    if (Number.isInteger(value)) return value.toLocaleString("en");
    const size = Math.abs(value);
    return size >= 1000 ? Math.round(value).toLocaleString("en") : String(+value.toPrecision(size >= 100 ? 5 : 4));
  };

  // Points with a text of their own, by pointer and by keyboard.
  document.querySelectorAll("[data-tip]").forEach((dot) => {
    dot.addEventListener("pointerenter", (event) => text(event.clientX, event.clientY, dot.dataset.tip));
    dot.addEventListener("pointerleave", hide);
    dot.addEventListener("focus", () => tell(dot));
    dot.addEventListener("blur", hide);
  });

  // Lines: the values of all series at the nearest point, read back from the paths.
  document.querySelectorAll("svg.plot").forEach((plot) => {
    const pair = (name) => plot.dataset[name].split(" ").map(Number);
    const [left, top, right, bottom] = pair("inner");
    const scale = (at, from, to, [low, high], log) => {
      const share = (at - from) / (to - from);
      return log ? low * (high / low) ** share : low + share * (high - low);
    };
    let lines = null;
    const read = () => [...plot.querySelectorAll(".line")].map((path) => {
      const numbers = path.getAttribute("d").match(/-?[\d.]+/g).map(Number);
      const points = [];
      for (let i = 0; i < numbers.length; i += 2) points.push([numbers[i], numbers[i + 1]]);
      return { name: path.dataset.name, colour: getComputedStyle(path).stroke, points };
    });
    plot.addEventListener("pointermove", (event) => {
      lines ??= read();
      if (!lines.length) return;
      const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(plot.getScreenCTM().inverse());
      if (at.x < left - 6 || at.x > right + 6) return hide();
      const nearest = (points) => points.reduce((a, b) => (Math.abs(b[0] - at.x) <= Math.abs(a[0] - at.x) ? b : a));
      const found = lines.map((line) => ({ ...line, point: nearest(line.points) }));
      const x = nearest(found.map((line) => line.point))[0];
      hide();
      const cross = document.createElementNS("http://www.w3.org/2000/svg", "path");
      cross.setAttribute("class", "cross");
      cross.setAttribute("d", `M${x} ${top}V${bottom}`);
      plot.append(cross);
      const log = plot.dataset.log;
      const step = scale(x, left, right, pair("x"), log.includes("x"));
      tip.replaceChildren(`${plot.dataset.unit} ${round(Math.abs(step - Math.round(step)) < 0.1 ? Math.round(step) : step)}`);
      for (const line of found.filter((line) => Math.abs(line.point[0] - x) < 3)) {
        const row = document.createElement("span"), value = document.createElement("b");
        const bottomUp = scale(line.point[1], bottom, top, pair("y"), log.includes("y"));
        value.textContent = round(+bottomUp.toPrecision(4));
        row.append(line.name, value);
        tip.append(row);
      }
      tip.hidden = false;
      place(event.clientX, event.clientY);
    });
    plot.addEventListener("pointerleave", hide);
  });
  // Focus may itself scroll the page, so the words of a focused point stay and follow it.
  addEventListener("scroll", () => {
    const focused = document.activeElement;
    if (!tip.hidden && focused.dataset.tip) tell(focused);
    else hide();
  }, { passive: true });
  addEventListener("keydown", (event) => event.key === "Escape" && hide());

  // Paper shows everything.
  addEventListener("beforeprint", () => {
    document.querySelectorAll("details:not([open])").forEach((one) => {
      one.open = true;
      one.dataset.closed = "";
    });
  });
  addEventListener("afterprint", () => {
    document.querySelectorAll("details[data-closed]").forEach((one) => {
      one.open = false;
      delete one.dataset.closed;
    });
  });
})();
