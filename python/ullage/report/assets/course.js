// Draws of all instants those that show: of each slot of what is in view the first, the lowest and the highest.
// `times` and `changes` hold everything, `view` what is drawn, `range` what is in view.
const courses = (globalThis.ullageCourses ??= new WeakMap())
const SPARE = 0.5, WORTH = 2, REST_MS = 150

function build() {
  const at = times.data.t, rows = changes.data.row, who = changes.data.holder, delta = changes.data.delta
  const n = at.length, total = new Float64Array(n)
  const held = Array.from({length: holders}, () => new Float64Array(n))
  for (let i = 0; i < rows.length; i++) held[who[i]][rows[i]] += delta[i]
  for (const one of held) {
    for (let i = 1; i < n; i++) one[i] += one[i - 1]
    for (let i = 0; i < n; i++) total[i] += one[i]
  }
  return {at, held, total, waits: false, later: 0, from: Infinity, until: -Infinity}
}

function after(at, time) {
  let low = 0, high = at.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (at[middle] <= time) low = middle + 1
    else high = middle
  }
  return low
}

function choose(course, from, until) {
  const first = Math.max(after(course.at, from) - 1, 0)
  const last = Math.min(after(course.at, until), course.at.length - 1)
  const chosen = []
  if (last - first < 3 * slots) {
    for (let i = first; i <= last; i++) chosen.push(i)
    return chosen
  }
  const size = Math.ceil((last - first + 1) / slots)
  for (let begin = first; begin <= last; begin += size) {
    let low = begin, high = begin
    const end = Math.min(begin + size, last + 1)
    for (let i = begin + 1; i < end; i++) {
      if (course.total[i] < course.total[low]) low = i
      if (course.total[i] > course.total[high]) high = i
    }
    for (const i of [begin, Math.min(low, high), Math.max(low, high)]) {
      if (chosen.length === 0 || chosen[chosen.length - 1] < i) chosen.push(i)
    }
  }
  if (chosen[chosen.length - 1] !== last) chosen.push(last)
  return chosen
}

function draw(course) {
  const spare = SPARE * (range.end - range.start)
  course.from = range.start - spare
  course.until = range.end + spare
  const chosen = choose(course, course.from, course.until)
  const points = 2 * chosen.length
  const drawn = {t: new Float64Array(points), total: new Float64Array(points), base: new Float64Array(points)}
  const under = new Float64Array(points)
  course.at.length && chosen.forEach((row, place) => {
    drawn.t[2 * place] = drawn.t[2 * place + 1] = course.at[row]
    drawn.total[2 * place] = place ? course.total[chosen[place - 1]] : 0
    drawn.total[2 * place + 1] = course.total[row]
  })
  for (let one = 0; one < holders; one++) {
    const has = new Float64Array(points), top = new Float64Array(points), held = course.held[one]
    for (let place = 0; place < chosen.length; place++) {
      has[2 * place] = place ? held[chosen[place - 1]] : 0
      has[2 * place + 1] = held[chosen[place]]
    }
    for (let i = 0; i < points; i++) under[i] = top[i] = under[i] + has[i]
    drawn["has" + one] = has
    drawn["top" + one] = top
  }
  return drawn
}

// More than is in view is drawn, so that dragging a little draws the same points elsewhere. What is drawn is good while
// all of the view lies in it, and, as long as the view moves, at most twice too coarse.
function isGood(course, worth) {
  const {from, until} = course
  const inside = Math.max(range.start, course.at[0]) >= from && Math.min(range.end, course.at.at(-1)) <= until
  return inside && until - from <= worth * (1 + 2 * SPARE) * (range.end - range.start)
}

let course = courses.get(view)
if (course === undefined) {
  course = build()
  courses.set(view, course)
}
const refine = (worth) => {
  course.waits = false
  if (!isGood(course, worth)) view.data = draw(course)
}
if (!course.waits) {
  course.waits = true
  queueMicrotask(() => refine(WORTH)) // after both ends have moved, and before the frame is painted
}
clearTimeout(course.later)
course.later = setTimeout(refine, REST_MS, 1.01)
