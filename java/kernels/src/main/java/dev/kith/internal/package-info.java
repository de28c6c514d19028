/** The native side: bindings, loader, lifetimes. Not exported; changes without notice. */
package dev.kith.internal;
