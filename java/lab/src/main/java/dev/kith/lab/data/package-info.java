/** Data sets: those that ship, the readers for the user's own files, and how numbers are scaled. */
package dev.kith.lab.data;
