// Tables: sorts by the column whose head is pressed, leaves the rows with the words of a filter, shows a part at a time.
// All is text: nothing that a cell says becomes an element.
'use strict';
(() => {
  const SHOWN = 100;
  const compare = new Intl.Collator('en', {numeric: true}).compare;
  const element = (name, text, attributes = {}) => {
    const made = document.createElement(name);
    if (text) made.textContent = text;
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };
  const button = (text, pressed) => {
    const made = element('button', text, {type: 'button'});
    made.addEventListener('click', pressed);
    return made;
  };
  const anchor = (text, section, filter) => element('a', text, {href: '#' + section, 'data-filter': filter});
  const cellOf = cell => {
    const link = cell.querySelector('a');
    return link ? [cell.textContent, link.getAttribute('href').slice(1), link.dataset.filter] : cell.textContent;
  };
  const textOf = cell => typeof cell === 'string' ? cell : cell[0];

  class Grid {
    constructor(table) {
      this.body = table.tBodies[0];
      this.heads = [...table.tHead.rows[0].cells];
      this.columns = this.heads.map(head => head.textContent.toLowerCase());
      this.rows = [...this.body.rows].map(row => [...row.cells].map(cellOf));
      const box = table.parentElement, rest = box.querySelector('script[type="application/json"]');
      if (rest) {
        this.rows.push(...JSON.parse(rest.textContent));
        rest.remove();
      }
      this.left = this.rows;
      this.first = 0;
      this.heads.forEach((head, column) => {
        const pressed = button('', () => this.sort(column));
        pressed.append(...head.childNodes);
        head.append(pressed);
      });
      if (this.rows.length < 10 && !box.hasAttribute('data-rows')) return;
      const label = element('label', 'Filter “' + table.caption.textContent + '” ');
      this.input = element('input', '', {type: 'search'});
      label.append(this.input);
      box.before(label);
      let waiting;
      this.input.addEventListener('input', () => {
        clearTimeout(waiting);
        waiting = setTimeout(() => this.filter(), 150);
      });
      this.pager = element('p', '', {class: 'pager'});
      this.place = element('span', '', {role: 'status'});
      this.back = button('Previous', () => this.turn(-SHOWN));
      this.on = button('Next', () => this.turn(SHOWN));
      this.pager.append(this.back, this.place, this.on);
      box.after(this.pager);
      this.show();
    }

    filter() {
      const words = this.input.value.toLowerCase().split(/\s+/).filter(word => word);
      const tests = words.map(word => {
        const at = word.indexOf(':'), column = this.columns.indexOf(word.slice(0, at)), value = word.slice(at + 1);
        if (at < 1 || column < 0) return row => row.some(cell => textOf(cell).toLowerCase().includes(word));
        return row => textOf(row[column]).toLowerCase().split(/\s+/).includes(value);
      });
      this.left = this.rows.filter(row => tests.every(test => test(row)));
      this.first = 0;
      this.show();
    }

    sort(column) {
      const head = this.heads[column], down = head.getAttribute('aria-sort') === 'ascending';
      for (const other of this.heads) other.removeAttribute('aria-sort');
      head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
      const by = (a, b) => compare(textOf(a[column]), textOf(b[column]));
      this.rows.sort(down ? (a, b) => by(b, a) : by);
      this.first = 0;
      if (this.input) this.filter(); else this.show();
    }

    turn(by) {
      this.first = Math.max(0, this.first + by);
      this.show();
    }

    show() {
      const rows = this.left.slice(this.first, this.first + SHOWN);
      this.body.replaceChildren(...rows.map(cells => {
        const row = element('tr');
        for (const cell of cells) {
          const made = element('td', typeof cell === 'string' ? cell : '');
          if (typeof cell !== 'string') made.append(anchor(...cell));
          if (/^\d+$/.test(textOf(cell))) made.className = 'number';
          row.append(made);
        }
        return row;
      }));
      if (!this.pager) return;
      const all = this.left.length, last = this.first + rows.length;
      this.place.textContent = all ? (this.first + 1) + ' to ' + last + ' of ' + all : 'No row has all these words.';
      this.back.disabled = this.first === 0;
      this.on.disabled = last >= all;
      this.back.hidden = this.on.hidden = all <= SHOWN;
    }
  }

  const grids = new Map([...document.querySelectorAll('table')].map(table => [table, new Grid(table)]));
  document.addEventListener('click', event => {
    const link = event.target.closest('a[data-filter]');
    const table = link && document.querySelector(link.getAttribute('href') + ' [data-rows] table');
    if (!table) return;
    const grid = grids.get(table);
    grid.input.value = link.dataset.filter;
    grid.filter();
    event.preventDefault();
    grid.input.labels[0].scrollIntoView();
    grid.input.focus({preventScroll: true});
  });

  // Live, where a console serves the page: nothing is asked for while nobody sees it.
  const live = document.querySelector('[data-live]');
  if (!live) return;
  const EVERY = 5000;
  const find = name => live.querySelector(name);
  const fill = (list, items) => {
    list.replaceChildren(...items);
    list.hidden = items.length === 0;
  };
  const ask = async () => {
    try {
      if (!document.hidden) {
        const response = await fetch(live.dataset.live, {cache: 'no-store'});
        const now = await response.json();
        if (now.error) throw new Error(now.error);
        fill(find('.wrong'), now.wrong.map(text => element('li', text)));
        fill(find('.latest'), now.latest.map(text => element('li', text)));
        fill(find('.lines'), now.lines.map(([name, text]) => {
          const line = element('div');
          line.append(element('dt', name), element('dd', text));
          return line;
        }));
        find('.live').textContent = 'Live, as of ' + now.at + '. The counts below are those of the page: reload it for newer ones.';
      }
    } catch (error) {
      find('.live').textContent = 'Not live: ' + error.message;
    }
    setTimeout(ask, EVERY);
  };
  ask();
})();
