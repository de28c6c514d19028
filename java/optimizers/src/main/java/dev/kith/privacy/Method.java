package dev.kith.privacy;

/** How an accountant arrives at its figures. */
public enum Method {
  /**
   * The exact curve of a Gaussian mechanism, which Gaussian mechanisms compose to: mu-GDP. Only
   * where no step samples its data.
   */
  EXACT,
  /** Privacy loss distributions composed by Fourier transform, every error rounded upwards. */
  PLD,
  /** Renyi differential privacy with the tight conversion of Canonne, Kamath and Steinke. */
  RDP,
  /**
   * Renyi differential privacy with the conversion of Mironov (2017): epsilon + ln(1/delta)/(a-1).
   */
  RDP_CLASSIC,
  /** Concentrated differential privacy: rho + 2 sqrt(rho ln(1/delta)). Only without sampling. */
  ZCDP,
  /**
   * The central-limit form of Gaussian differential privacy for Poisson sampling. It underestimates
   * epsilon: shown to compare with, never certified.
   */
  GDP_LIMIT
}
