// Sorts a table by the column whose head is pressed, and hides the rows that lack the words of a filter.
// Cells are compared and shown as text.
'use strict';
for (const table of document.querySelectorAll('table')) {
  const body = table.tBodies[0];
  if (body.rows.length > 10) {
    const label = document.createElement('label'), input = document.createElement('input');
    input.type = 'search';
    label.append('Filter “' + table.caption.textContent + '” ', input);
    table.parentElement.before(label);
    let waiting;
    input.addEventListener('input', () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => {
        const words = input.value.toLowerCase().split(/\s+/);
        for (const row of body.rows) {
          const text = row.textContent.toLowerCase();
          row.hidden = !words.every(word => text.includes(word));
        }
      }, 150);
    });
  }
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement('button');
    button.type = 'button';
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener('click', () => {
      const down = head.getAttribute('aria-sort') === 'ascending';
      for (const other of table.tHead.rows[0].cells) other.removeAttribute('aria-sort');
      head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
      const compare = new Intl.Collator('en', {numeric: true}).compare;
      const rows = [...body.rows].sort((a, b) => compare(a.cells[column].textContent, b.cells[column].textContent));
      body.append(...(down ? rows.reverse() : rows));
    });
  });
}
