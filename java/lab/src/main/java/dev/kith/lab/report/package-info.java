/**
 * What people look at after a run: curves, the drawn graph, one self-contained HTML page, PNG
 * pictures.
 */
package dev.kith.lab.report;
