// Draws of the boxes in view the largest, up to `most`. `all` holds them, the largest first; `view` what is drawn.
const lowest = Math.min(y.start, y.end), highest = Math.max(y.start, y.end)
const waiting = (globalThis.ullageBoxes ??= new WeakSet())
if (!waiting.has(view)) {
  waiting.add(view)
  requestAnimationFrame(() => {
    waiting.delete(view)
    const {left, right, bottom, top} = all.data
    const chosen = []
    for (let i = 0; i < left.length && chosen.length < most; i++) {
      if (right[i] >= x.start && left[i] <= x.end && top[i] >= lowest && bottom[i] <= highest) chosen.push(i)
    }
    const drawn = {}
    for (const name of Object.keys(all.data)) {
      const column = all.data[name]
      drawn[name] = chosen.map((i) => column[i])
    }
    view.data = drawn
  })
}
