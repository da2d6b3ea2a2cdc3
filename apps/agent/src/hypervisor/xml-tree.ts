/**
 * Walking and building libvirt XML as a tree. Owns the few verbs that the readers and editors of definitions share.
 * Everything unknown in a definition (elements, namespaces, comments) survives a parse and a print.
 */
import { DOMParser, XMLSerializer, type Document, type Element, type Node } from '@xmldom/xmldom';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';

export type { Document, Element } from '@xmldom/xmldom';

const ELEMENT_NODE = 1;

/** The root element of a document. INVALID_INPUT when the text is no XML or has another root. */
export function parseRoot(xml: string, rootName: string): { document: Document; root: Element } {
  let document: Document;
  try {
    document = new DOMParser({
      onError: (level, message) => {
        if (level !== 'warning') throw new Error(message);
      },
    }).parseFromString(xml, 'text/xml');
  } catch (error) {
    throw new HoldfastError(
      'INVALID_INPUT',
      `This is no XML: ${error instanceof Error ? error.message : String(error)}`,
      {},
      { cause: error },
    );
  }
  const root = document.documentElement;
  if (root === null || root.tagName !== rootName) {
    throw new HoldfastError('INVALID_INPUT', `The XML has <${root?.tagName ?? ''}> where <${rootName}> belongs.`, {});
  }
  return { document, root };
}

export function print(document: Document): string {
  return new XMLSerializer().serializeToString(document);
}

/** Child elements of that name, in order. Undefined parent: none. */
export function children(parent: Element | undefined, name: string): Element[] {
  const found: Element[] = [];
  for (let node: Node | null = parent?.firstChild ?? null; node !== null; node = node.nextSibling) {
    if (node.nodeType === ELEMENT_NODE && (node as Element).tagName === name) found.push(node as Element);
  }
  return found;
}

export function child(parent: Element | undefined, name: string): Element | undefined {
  return children(parent, name)[0];
}

/** Text of a child element; undefined when there is no such child or it is empty. */
export function textOf(parent: Element | undefined, name: string): string | undefined {
  const text = child(parent, name)?.textContent ?? '';
  return text === '' ? undefined : text;
}

/** An attribute's value; undefined when it is absent or empty. */
export function attribute(element: Element | undefined, name: string): string | undefined {
  const value = element?.getAttribute(name) ?? '';
  return value === '' ? undefined : value;
}

export function removeChildren(parent: Element, ...names: string[]): void {
  for (const name of names) for (const element of children(parent, name)) parent.removeChild(element);
}

/** The child of that name, made as the first child when it is absent. */
export function ensureChild(parent: Element, name: string): Element {
  const existing = child(parent, name);
  if (existing !== undefined) return existing;
  const made = (parent.ownerDocument as Document).createElement(name);
  parent.insertBefore(made, parent.firstChild);
  return made;
}
