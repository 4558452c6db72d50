/** The one function of jstat that is used here; the package has no types. */
declare module 'jstat' {
  const jStat: {
    /** Student's t with `df` degrees of freedom. */
    studentt: { inv(probability: number, df: number): number };
  };
  export default jStat;
}
