'use strict';
// Reads /openapi.json, lists the operations, sends requests. Text goes in as text, never as markup.

const methods = ['get', 'post', 'put', 'patch', 'delete', 'head', 'options'];
let api;

function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function resolve(schema) {
  if (schema && schema.$ref) {
    return api.components.schemas[schema.$ref.split('/').pop()] || {};
  }
  return schema || {};
}

function typeOf(schema) {
  if (schema.$ref) {
    return schema.$ref.split('/').pop();
  }
  if (schema.type === 'array') {
    return `array of ${typeOf(schema.items || {})}`;
  }
  const type = [].concat(schema.type || 'any').join(' or ');
  return schema.format ? `${type} (${schema.format})` : type;
}

function rulesOf(schema) {
  const rules = [];
  for (const name of ['minLength', 'maxLength', 'minimum', 'maximum']) {
    if (name in schema) {
      rules.push(`${name} ${schema[name]}`);
    }
  }
  if (schema.enum) {
    rules.push(`one of ${schema.enum.map((value) => JSON.stringify(value)).join(', ')}`);
  }
  if ('default' in schema) {
    rules.push(`default ${JSON.stringify(schema.default)}`);
  }
  return rules.join(', ');
}

function schemaTable(reference) {
  const schema = resolve(reference.type === 'array' ? reference.items : reference);
  if (!schema.properties) {
    return make('p', { class: 'quiet' }, typeOf(reference));
  }
  const body = make('tbody');
  for (const [name, member] of Object.entries(schema.properties)) {
    const required = (schema.required || []).includes(name);
    body.append(make('tr', null,
      make('td', null, make('code', null, name), required ? ' *' : ''),
      make('td', null, typeOf(member)),
      make('td', null, [rulesOf(member), member.description].filter(Boolean).join('. '))));
  }
  return make('table', null, make('thead', null, make('tr', null,
    make('th', null, 'Member'), make('th', null, 'Type'), make('th', null, 'Rules'))), body);
}

function exampleOf(media) {
  if (media.example) {
    return media.example;
  }
  const example = {};
  const schema = resolve(media.schema);
  for (const [name, member] of Object.entries(schema.properties || {})) {
    if ((schema.required || []).includes(name)) {
      example[name] = (member.examples || [member.enum ? member.enum[0] : ''])[0];
    }
  }
  return example;
}

function shellQuote(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function curlOf(method, url, headers, body) {
  const parts = ['curl -i'];
  if (method !== 'GET') {
    parts.push(`-X ${method}`);
  }
  parts.push(shellQuote(location.origin + url));
  for (const [name, value] of Object.entries(headers)) {
    parts.push(`-H ${shellQuote(`${name}: ${name === 'Authorization' ? 'Bearer $TOKEN' : value}`)}`);
  }
  if (body !== undefined) {
    parts.push(`-d ${shellQuote(body)}`);
  }
  return parts.join(' ');
}

async function show(out, method, url, headers, body) {
  out.replaceChildren(make('pre', null, curlOf(method, url, headers, body)));
  try {
    const began = performance.now();
    const response = await fetch(url, { method, headers, body });
    const text = await response.text();
    const took = Math.round(performance.now() - began);
    let pretty = text;
    // Only for people: a number beyond 2^53 must not be rounded on the way.
    if (!/\d{16}/.test(text)) {
      try {
        pretty = JSON.stringify(JSON.parse(text), null, 2);
      } catch {
        pretty = text;
      }
    }
    out.append(
      make('p', { class: response.ok ? 'good' : 'bad' },
        `${response.status} ${response.statusText} (${took} ms)`),
      make('pre', { class: 'quiet' },
        [...response.headers].map(([name, value]) => `${name}: ${value}`).join('\n')),
      make('pre', null, pretty));
  } catch (error) {
    out.append(make('p', { class: 'bad' }, String(error)));
  }
}

function sender(method, path, operation) {
  const inputs = [];
  const fields = make('div');
  for (const parameter of operation.parameters || []) {
    const input = make('input', { placeholder: typeOf(parameter.schema || {}) });
    if (parameter.schema && 'default' in parameter.schema) {
      input.value = parameter.schema.default;
    }
    inputs.push([parameter, input]);
    fields.append(make('p', null, make('label', null, make('code', null, parameter.name),
      ` (${parameter.in}${parameter.required ? ', required' : ''}) `, input)));
  }
  const media = operation.requestBody && operation.requestBody.content['application/json'];
  const area = media ? make('textarea', { spellcheck: 'false', 'aria-label': 'Body' }) : null;
  if (area) {
    area.value = JSON.stringify(exampleOf(media), null, 2);
  }
  const out = make('div', { 'aria-live': 'polite' });
  const button = make('button', { type: 'button' }, 'Send');
  button.addEventListener('click', () => {
    let url = path;
    const query = new URLSearchParams();
    for (const [parameter, input] of inputs) {
      if (parameter.in === 'path') {
        url = url.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
      } else if (input.value !== '') {
        query.set(parameter.name, input.value);
      }
    }
    const headers = {};
    const token = document.getElementById('token').value;
    if (token) {
      headers.Authorization = `Bearer ${token}`;
    }
    if (area) {
      headers['Content-Type'] = 'application/json';
    }
    const suffix = query.toString() ? `?${query}` : '';
    show(out, method.toUpperCase(), url + suffix, headers, area ? area.value : undefined);
  });
  return make('div', null, make('h3', null, 'Try it'), fields, area, button, out);
}

function responsesOf(operation) {
  const list = make('div');
  for (const [status, response] of Object.entries(operation.responses || {})) {
    const media = response.content && response.content['application/json'];
    const box = make('details', null, make('summary', null, make('code', null, status), ' ',
      response.description || ''));
    if (media) {
      box.append(make('p', { class: 'quiet' }, typeOf(media.schema)), schemaTable(media.schema));
    }
    list.append(box);
  }
  return list;
}

function operationOf(method, path, operation) {
  const content = make('div');
  const auth = operation['x-eventbox-auth'];
  if (auth) {
    content.append(make('p', { class: 'quiet' }, `Who may call: ${auth}`));
  }
  const media = operation.requestBody && operation.requestBody.content['application/json'];
  if (media) {
    content.append(make('h3', null, 'Body'), schemaTable(media.schema));
  }
  content.append(make('h3', null, 'Responses'), responsesOf(operation), sender(method, path, operation));
  return make('details', { class: 'operation', id: operation.operationId || `${method}-${path}` },
    make('summary', null, make('span', { class: `method ${method}` }, method.toUpperCase()),
      make('span', { class: 'path' }, path), ' ',
      make('span', { class: 'quiet' }, operation.summary || '')), content);
}

async function start() {
  const main = document.getElementById('operations');
  try {
    api = await (await fetch('/openapi.json')).json();
  } catch (error) {
    main.replaceChildren(make('p', { class: 'bad' }, `No /openapi.json: ${error}`));
    return;
  }
  document.title = api.info.title;
  document.getElementById('title').textContent = api.info.title;
  document.getElementById('version').textContent = `${api.info.version}, OpenAPI ${api.openapi}`;
  const groups = new Map();
  for (const [path, item] of Object.entries(api.paths)) {
    for (const method of methods.filter((name) => item[name])) {
      const tag = (item[method].tags || ['service'])[0];
      if (!groups.has(tag)) {
        groups.set(tag, make('section', null, make('h2', null, tag)));
      }
      groups.get(tag).append(operationOf(method, path, item[method]));
    }
  }
  main.replaceChildren(...groups.values());
}

start();
