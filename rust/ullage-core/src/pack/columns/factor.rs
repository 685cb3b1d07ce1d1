//! [`Factor`]: sparse LU factors of a basis, brought up to date in product form.
//!
//! Bases of cutting-stock programs have three to five entries a column and are nearly triangular: singletons are pivoted
//! first, the rest by Markowitz's rule with threshold pivoting, so that the factors stay about as sparse as the basis.

/// Pivots below this share of the largest entry of their row are not taken.
const THRESHOLD: f64 = 0.05;
/// Entries below this are no pivots.
const TINY: f64 = 1e-9;
/// Columns of fewest entries that are compared by Markowitz's count.
const CANDIDATES: usize = 4;
const NONE: u32 = u32::MAX;

/// Vectors of entries, one after another.
#[derive(Clone, Debug, Default)]
pub(super) struct Lists {
    ends: Vec<usize>,
    index: Vec<u32>,
    value: Vec<f64>,
}

impl Lists {
    pub(super) fn push(&mut self, entries: impl IntoIterator<Item = (u32, f64)>) {
        for (index, value) in entries {
            self.index.push(index);
            self.value.push(value);
        }
        self.ends.push(self.index.len());
    }

    pub(super) fn entries(&self, list: usize) -> impl DoubleEndedIterator<Item = (usize, f64)> + '_ {
        let start = if list == 0 { 0 } else { self.ends[list - 1] };
        let range = start..self.ends[list];
        self.index[range.clone()]
            .iter()
            .zip(&self.value[range])
            .map(|(&index, &value)| (index as usize, value))
    }

    pub(super) fn length(&self, list: usize) -> usize {
        self.ends[list] - if list == 0 { 0 } else { self.ends[list - 1] }
    }

    fn clear(&mut self) {
        self.ends.clear();
        self.index.clear();
        self.value.clear();
    }
}

/// A position of the basis whose column depends on the others, and a row that no column covers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dependent {
    pub(super) position: usize,
    pub(super) row: usize,
}

/// B = L U E1 … Ek. Rows of B are rows of the program, columns are positions of the basis.
#[derive(Clone, Debug, Default)]
pub(super) struct Factor {
    lower_pivot: Vec<u32>,
    lower: Lists,
    /// Row and position of each pivot, in the order of elimination.
    order: Vec<(u32, u32)>,
    pivots: Vec<f64>,
    /// Of each pivot's row: the entries in positions pivoted later.
    upper_rows: Lists,
    /// Of each pivot's position: the entries in rows pivoted earlier.
    upper_columns: Lists,
    update_pivot: Vec<(u32, f64)>,
    updates: Lists,
    scratch: Vec<f64>,
}

/// What is left to eliminate.
struct Active {
    rows: Vec<Vec<(u32, f64)>>,
    columns: Vec<Vec<u32>>,
    row_done: Vec<bool>,
    column_done: Vec<bool>,
    /// Where each column stands in the row at hand.
    place: Vec<u32>,
    lone_columns: Vec<u32>,
    lone_rows: Vec<u32>,
}

impl Factor {
    /// Factors the matrix whose column at position `i` is `basis[i]` of `columns`.
    pub(super) fn of(columns: &Lists, basis: &[usize]) -> Result<Self, Vec<Dependent>> {
        let mut factor = Self { scratch: vec![0.0; basis.len()], ..Self::default() };
        let mut active = Active::of(columns, basis);
        while let Some((row, position)) = active.next_pivot() {
            factor.eliminate(&mut active, row, position);
        }
        let dependent = active.dependent();
        if !dependent.is_empty() {
            return Err(dependent);
        }
        factor.transpose_upper(basis.len());
        Ok(factor)
    }

    pub(super) fn updates(&self) -> usize {
        self.update_pivot.len()
    }

    fn eliminate(&mut self, active: &mut Active, row: usize, position: usize) {
        let taken = active.take(row, position);
        let pivot = taken.iter().find(|entry| entry.0 as usize == position).map_or(1.0, |entry| entry.1);
        let others: Vec<u32> = std::mem::take(&mut active.columns[position]);
        if !others.is_empty() {
            let mut multipliers = Vec::with_capacity(others.len());
            for &other in &others {
                let multiplier = active.subtract(other as usize, position, &taken, pivot);
                multipliers.push((other, multiplier));
            }
            self.lower_pivot.push(row as u32);
            self.lower.push(multipliers);
        }
        self.order.push((row as u32, position as u32));
        self.pivots.push(pivot);
        self.upper_rows.push(taken.into_iter().filter(|entry| entry.0 as usize != position));
    }

    fn transpose_upper(&mut self, size: usize) {
        let mut columns: Vec<Vec<(u32, f64)>> = vec![Vec::new(); size];
        for (step, &(row, _)) in self.order.iter().enumerate() {
            for (position, value) in self.upper_rows.entries(step) {
                columns[position].push((row, value));
            }
        }
        self.upper_columns.clear();
        for &(_, position) in &self.order {
            self.upper_columns.push(std::mem::take(&mut columns[position as usize]));
        }
    }

    /// Solves B x = b: `vector` holds b by row and then x by position.
    pub(super) fn solve(&mut self, vector: &mut Vec<f64>) {
        for (list, &pivot) in self.lower_pivot.iter().enumerate() {
            let head = vector[pivot as usize];
            if head != 0.0 {
                for (row, multiplier) in self.lower.entries(list) {
                    vector[row] -= multiplier * head;
                }
            }
        }
        let result = &mut self.scratch;
        for (step, &(row, position)) in self.order.iter().enumerate().rev() {
            let value = vector[row as usize] / self.pivots[step];
            result[position as usize] = value;
            if value != 0.0 {
                for (row, entry) in self.upper_columns.entries(step) {
                    vector[row] -= entry * value;
                }
            }
        }
        std::mem::swap(vector, result);
        for (list, &(position, pivot)) in self.update_pivot.iter().enumerate() {
            let head = vector[position as usize] / pivot;
            vector[position as usize] = head;
            if head != 0.0 {
                for (other, entry) in self.updates.entries(list) {
                    vector[other] -= entry * head;
                }
            }
        }
    }

    /// Solves y B = c: `vector` holds c by position and then y by row.
    pub(super) fn solve_transposed(&mut self, vector: &mut Vec<f64>) {
        for (list, &(position, pivot)) in self.update_pivot.iter().enumerate().rev() {
            let others: f64 = self.updates.entries(list).map(|(other, entry)| entry * vector[other]).sum();
            vector[position as usize] = (vector[position as usize] - others) / pivot;
        }
        let result = &mut self.scratch;
        for (step, &(row, position)) in self.order.iter().enumerate() {
            let value = vector[position as usize] / self.pivots[step];
            result[row as usize] = value;
            if value != 0.0 {
                for (other, entry) in self.upper_rows.entries(step) {
                    vector[other] -= entry * value;
                }
            }
        }
        std::mem::swap(vector, result);
        for (list, &pivot) in self.lower_pivot.iter().enumerate().rev() {
            let others: f64 = self.lower.entries(list).map(|(row, entry)| entry * vector[row]).sum();
            vector[pivot as usize] -= others;
        }
    }

    /// Replaces the column at `position` by one whose solution is `direction`.
    pub(super) fn replace(&mut self, position: usize, direction: &[f64]) {
        self.update_pivot.push((position as u32, direction[position]));
        let others =
            direction.iter().enumerate().filter(|&(other, &value)| other != position && value.abs() > 1e-13);
        self.updates.push(others.map(|(other, &value)| (other as u32, value)));
    }
}

impl Active {
    fn of(columns: &Lists, basis: &[usize]) -> Self {
        let size = basis.len();
        let mut active = Self {
            rows: vec![Vec::new(); size],
            columns: vec![Vec::new(); size],
            row_done: vec![false; size],
            column_done: vec![false; size],
            place: vec![NONE; size],
            lone_columns: Vec::new(),
            lone_rows: Vec::new(),
        };
        for (position, &column) in basis.iter().enumerate() {
            for (row, value) in columns.entries(column) {
                active.rows[row].push((position as u32, value));
                active.columns[position].push(row as u32);
            }
        }
        for index in 0..size {
            active.note_column(index);
            active.note_row(index);
        }
        active
    }

    fn note_column(&mut self, position: usize) {
        if self.columns[position].len() == 1 && !self.column_done[position] {
            self.lone_columns.push(position as u32);
        }
    }

    fn note_row(&mut self, row: usize) {
        if self.rows[row].len() == 1 && !self.row_done[row] {
            self.lone_rows.push(row as u32);
        }
    }

    fn next_pivot(&mut self) -> Option<(usize, usize)> {
        while let Some(position) = self.lone_columns.pop() {
            let position = position as usize;
            if self.column_done[position] || self.columns[position].len() != 1 {
                continue;
            }
            let row = self.columns[position][0] as usize;
            if self.entry(row, position).abs() > TINY {
                return Some((row, position));
            }
        }
        while let Some(row) = self.lone_rows.pop() {
            let row = row as usize;
            if !self.row_done[row] && self.rows[row].len() == 1 && self.rows[row][0].1.abs() > TINY {
                return Some((row, self.rows[row][0].0 as usize));
            }
        }
        self.cheapest_pivot()
    }

    fn cheapest_pivot(&self) -> Option<(usize, usize)> {
        let mut candidates: Vec<(usize, usize)> = Vec::with_capacity(CANDIDATES + 1);
        for (position, rows) in self.columns.iter().enumerate() {
            if self.column_done[position] || rows.is_empty() {
                continue;
            }
            if candidates.len() < CANDIDATES
                || candidates.last().is_some_and(|&(count, _)| rows.len() < count)
            {
                candidates.push((rows.len(), position));
                candidates.sort_unstable();
                candidates.truncate(CANDIDATES);
            }
        }
        let best = candidates.iter().filter_map(|&(_, position)| self.best_row(position)).min();
        // Where none of the few passes the threshold, any does.
        let best = best.or_else(|| {
            let open = (0..self.columns.len()).filter(|&position| !self.column_done[position]);
            open.filter_map(|position| self.best_row(position)).min()
        });
        best.map(|(_, row, position)| (row, position))
    }

    /// The row of fewest entries where the column's entry is large enough: Markowitz's count, row and position.
    fn best_row(&self, position: usize) -> Option<(usize, usize, usize)> {
        let rows = &self.columns[position];
        let fitting = rows.iter().map(|&row| row as usize).filter(|&row| {
            let entry = self.entry(row, position).abs();
            let largest = self.rows[row].iter().map(|entry| entry.1.abs()).fold(0.0, f64::max);
            entry > TINY && entry >= THRESHOLD * largest
        });
        fitting.map(|row| ((self.rows[row].len() - 1) * (rows.len() - 1), row, position)).min()
    }

    fn entry(&self, row: usize, position: usize) -> f64 {
        self.rows[row].iter().find(|entry| entry.0 as usize == position).map_or(0.0, |entry| entry.1)
    }

    /// Takes the pivot's row out of what is left.
    fn take(&mut self, row: usize, position: usize) -> Vec<(u32, f64)> {
        self.row_done[row] = true;
        self.column_done[position] = true;
        let taken = std::mem::take(&mut self.rows[row]);
        for &(column, _) in &taken {
            let column = column as usize;
            if let Some(at) = self.columns[column].iter().position(|&other| other as usize == row) {
                self.columns[column].swap_remove(at);
            }
            self.note_column(column);
        }
        taken
    }

    /// Subtracts the pivot's row from `row` so that its entry at `position` becomes zero. Returns the multiplier.
    fn subtract(&mut self, row: usize, position: usize, taken: &[(u32, f64)], pivot: f64) -> f64 {
        let mut entries = std::mem::take(&mut self.rows[row]);
        let Some(at) = entries.iter().position(|entry| entry.0 as usize == position) else {
            self.rows[row] = entries;
            return 0.0;
        };
        let multiplier = entries.swap_remove(at).1 / pivot;
        for (place, &(column, _)) in (0..).zip(&entries) {
            self.place[column as usize] = place;
        }
        for &(column, value) in taken.iter().filter(|entry| entry.0 as usize != position) {
            match self.place[column as usize] {
                NONE => {
                    entries.push((column, -multiplier * value));
                    self.columns[column as usize].push(row as u32);
                }
                place => entries[place as usize].1 -= multiplier * value,
            }
        }
        for &(column, _) in &entries {
            self.place[column as usize] = NONE;
        }
        self.rows[row] = entries;
        self.drop_zeros(row);
        self.note_row(row);
        multiplier
    }

    /// Entries that cancelled are no entries: they would count as fill and offer themselves as pivots.
    fn drop_zeros(&mut self, row: usize) {
        let (columns, entries) = (&mut self.columns, &mut self.rows[row]);
        let mut touched = Vec::new();
        entries.retain(|&(column, value)| {
            let keep = value.abs() > 1e-12;
            if !keep {
                columns[column as usize].retain(|&other| other as usize != row);
                touched.push(column);
            }
            keep
        });
        for column in touched {
            self.note_column(column as usize);
        }
    }

    fn dependent(&self) -> Vec<Dependent> {
        let open =
            |done: &[bool]| done.iter().enumerate().filter(|(_, done)| !**done).map(|(at, _)| at).collect();
        let (rows, positions): (Vec<usize>, Vec<usize>) = (open(&self.row_done), open(&self.column_done));
        rows.into_iter().zip(positions).map(|(row, position)| Dependent { position, row }).collect()
    }
}
