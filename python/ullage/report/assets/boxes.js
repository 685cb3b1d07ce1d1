// Draws of the boxes in view the largest, up to `most`. `all` holds them, the largest first; `view` what is drawn.
const SPARE = 0.5
const states = (globalThis.ullageBoxes ??= new WeakMap())

function inside({left, right, bottom, top}, [x0, x1, y0, y1]) {
  const chosen = []
  for (let i = 0; i < left.length && chosen.length <= most; i++) {
    if (right[i] >= x0 && left[i] <= x1 && top[i] >= y0 && bottom[i] <= y1) chosen.push(i)
  }
  return chosen
}

function draw(state) {
  const y0 = Math.min(y.start, y.end), y1 = Math.max(y.start, y.end)
  const [a0, a1, b0, b1] = state.whole
  if (x.start >= a0 && x.end <= a1 && y0 >= b0 && y1 <= b1) return // all that is in view is drawn already
  const dx = SPARE * (x.end - x.start), dy = SPARE * (y1 - y0)
  const around = [x.start - dx, x.end + dx, y0 - dy, y1 + dy]
  let chosen = inside(all.data, around)
  state.whole = around
  if (chosen.length > most) {
    chosen = inside(all.data, [x.start, x.end, y0, y1]).slice(0, most)
    state.whole = NOTHING
  }
  const drawn = {}
  for (const name of Object.keys(all.data)) {
    const column = all.data[name]
    drawn[name] = chosen.map((i) => column[i])
  }
  view.data = drawn
}

const NOTHING = [Infinity, -Infinity, Infinity, -Infinity]
let state = states.get(view)
if (state === undefined) states.set(view, state = {waits: false, whole: NOTHING})
if (!state.waits) {
  state.waits = true
  queueMicrotask(() => { // after all four sides have moved, and before the frame is painted
    state.waits = false
    draw(state)
  })
}
