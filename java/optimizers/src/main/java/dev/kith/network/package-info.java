/**
 * What a node sends to its neighbours: {@link dev.kith.network.Network} evaluates a mixing
 * expression on the present graph wherever its rows lie, over a {@link dev.kith.network.Transport}
 * that moves rows between processes.
 */
package dev.kith.network;
